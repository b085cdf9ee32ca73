"""The rules of the house that no linter knows: one name one meaning, no cycles, and how large things may grow.

The lists name what is larger today. They may only shrink: a limit is for what is added, and whoever makes one of these
smaller takes it off.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import infertui

PACKAGE = Path(infertui.__file__).parent
MODULE_LINES, CLASS_LINES, FOLDER_MODULES = 450, 300, 14

LONG_MODULES = {
    "results/index.py": "one table: its schema, its upkeep and its pages",
    "telemetry/nvml.py": "the driver's calls, one by one",
}
LARGE_CLASSES = {
    "InfertuiApp": "what Textual calls on an application",
    "RowList": "a widget with cursor, marks, scrolling and folding",
    "Runner": "implements every operation of RunnerApi",
    "TensorrtLlmEngine": "the engine protocol over three generations of the library",
    "VllmEngine": "the engine protocol over a core in or out of the process",
}
FULL_FOLDERS = {"analysis": 15, "formats": 15, "measure": 16, "targets/engine/transformers": 16}
ONLY_SEE = re.compile(r"See (?:`[^`]+`|[\w .]+)\.")


@cache
def trees() -> dict[str, ast.Module]:
    """Every module of the package by its path."""
    return {
        path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted(PACKAGE.rglob("*.py"))
    }


def test_a_public_class_has_a_name_of_its_own() -> None:
    places = defaultdict(list)
    for path, tree in trees().items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(path)
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_no_module_waits_for_itself_while_it_is_imported() -> None:
    graph = {_module(path): set(_imported(tree)) for path, tree in trees().items()}
    done: set[str] = set()

    def visit(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, f"imports go round: {' -> '.join((*way[way.index(module) :], module))}"
        if module not in done:
            for other in sorted(graph[module] & graph.keys()):
                visit(other, (*way, module))
            done.add(module)

    for module in graph:
        visit(module, ())


def test_modules_classes_and_folders_grow_no_further() -> None:
    lines = {path: len((PACKAGE / path).read_text(encoding="utf-8").splitlines()) for path in trees()}
    assert {path for path, count in lines.items() if count > MODULE_LINES} <= LONG_MODULES.keys()
    classes = {
        node.name
        for tree in trees().values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and (node.end_lineno or 0) - node.lineno + 1 > CLASS_LINES
    }
    assert classes <= LARGE_CLASSES.keys()
    folders: defaultdict[str, int] = defaultdict(int)
    for path in trees():
        if not path.endswith("__init__.py"):
            folders[Path(path).parent.as_posix()] += 1
    over = {folder: count for folder, count in folders.items() if count > FULL_FOLDERS.get(folder, FOLDER_MODULES)}
    assert over == {}


def test_what_is_on_the_lists_is_still_larger() -> None:
    for path in LONG_MODULES:
        assert len((PACKAGE / path).read_text(encoding="utf-8").splitlines()) > MODULE_LINES, f"{path} can be taken off"
    names = {node.name for tree in trees().values() for node in tree.body if isinstance(node, ast.ClassDef)}
    assert LARGE_CLASSES.keys() <= names


def test_no_docstring_says_only_where_to_look() -> None:
    for path, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                assert not ONLY_SEE.fullmatch(ast.get_docstring(node) or ""), f"{path}: {node.name}"


def test_a_config_is_loaded_with_the_env_file() -> None:
    """What is given to `load` of `config.sources` is `with_env_file()`, never the environment by itself."""
    for path, tree in trees().items():
        for node in ast.walk(tree):
            name = ast.unparse(node.func).rpartition(".")[2] if isinstance(node, ast.Call) else ""
            if isinstance(node, ast.Call) and name in ("load", "environment_layer"):
                given = [ast.unparse(value) for value in (*node.args, *(word.value for word in node.keywords))]
                assert "os.environ" not in given or path.startswith("tui/themes"), path


def _module(path: str) -> str:
    return ".".join(("infertui", *Path(path).with_suffix("").parts)).removesuffix(".__init__")


def _imported(tree: ast.Module) -> Iterator[str]:
    """Modules that have to be there when this one is imported; those inside functions can wait."""
    known = {_module(path) for path in trees()}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in known else node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
