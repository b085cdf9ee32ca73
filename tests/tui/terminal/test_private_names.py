"""Which private names of Textual are used, and that they are used in one folder alone."""

import ast
import importlib
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from types import ModuleType

import infertui

PACKAGE = Path(infertui.__file__).parent
FOLDER = PACKAGE / "tui" / "terminal"

MODULES = {"textual._compositor", "textual._parser"}
NAMES = {
    # the application
    "_close_messages_no_wait", "_display", "_driver", "_exception", "_exit", "_exit_renderables", "_fatal_error",
    "_handle_exception", "_shutdown",
    # screen and compositor
    "_compositor", "_dirty_regions", "_render_chops", "_visible_widgets",
    # the driver
    "_app", "_disable_mouse_support", "_enable_mouse_pixels", "_enable_mouse_support", "_get_terminal_size",
    "_in_band_window_resize", "_mouse", "_must_signal_resume", "_sigcont_application", "_sigtstp_application",
}  # fmt: skip
"""Before another name is used here: is there no public way? When Textual changes, these are what to look at."""


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def names_of(tree: ast.AST) -> Iterator[str]:
    """What classes define: methods, attributes of the class, and what methods set of their object."""
    for kind in (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)):
        for part in kind.body:
            if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef):
                yield part.name
            for target in part.targets if isinstance(part, ast.Assign) else [getattr(part, "target", None)]:
                if isinstance(target, ast.Name):
                    yield target.id
        for node in ast.walk(kind):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and _is_self(node.value):
                yield node.attr


def _is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


def module_of(file: Path) -> ModuleType:
    return importlib.import_module(".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts))


@lru_cache
def of_textual() -> dict[tuple[str, str], set[str]]:
    """The private names that Textual's classes define, by module and class, in the modules that the screen imports."""
    for file in (PACKAGE / "tui").rglob("*.py"):
        module_of(file)
    found = {}
    for name, module in [*sys.modules.items()]:
        if name.partition(".")[0] == "textual" and (source := getattr(module, "__file__", None)):
            for kind in ast.walk(ast.parse(Path(source).read_text())):
                if isinstance(kind, ast.ClassDef):
                    found[name, kind.name] = {one for one in names_of(kind) if is_private(one)}
    return found


def inherited(kind: type) -> set[str]:
    """The private names that a class inherits from Textual."""
    return set().union(*(of_textual().get((base.__module__, base.__name__), set()) for base in kind.__mro__))


def used(file: Path) -> Iterator[str]:
    """Private names of Textual in a module of ours: overridden or used by a class of ours, or of another's object."""
    tree, module = ast.parse(file.read_text()), module_of(file)
    theirs = set().union(*of_textual().values())
    own = set(names_of(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            yield from _in_class(node, module)
        elif isinstance(node, ast.Attribute) and not _is_self(node.value) and node.attr in theirs - own:
            yield node.attr


def _in_class(tree: ast.ClassDef, module: ModuleType) -> Iterator[str]:
    kind = getattr(module, tree.name, None)
    theirs = inherited(kind) if isinstance(kind, type) else set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name in theirs:
            yield node.name
        elif isinstance(node, ast.Attribute) and node.attr in theirs:
            yield node.attr


def imported(file: Path) -> Iterator[str]:
    """Private modules of Textual that a module of ours imports, and private names out of public ones."""
    text = file.read_text()
    for node in ast.walk(ast.parse(text)) if "textual" in text else ():
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            if name.partition(".")[0] == "textual":
                if any(is_private(part) for part in name.split(".")):
                    yield name
                elif isinstance(node, ast.ImportFrom):
                    yield from (f"{name}.{alias.name}" for alias in node.names if is_private(alias.name))


def test_private_names_of_textual_are_used_in_one_folder_alone() -> None:
    found: dict[str, set[str]] = {}
    for file in sorted((PACKAGE / "tui").rglob("*.py")):
        if names := {*used(file), *imported(file)}:
            found[str(file.relative_to(PACKAGE))] = names
    elsewhere = {file: names for file, names in found.items() if FOLDER not in (PACKAGE / file).parents}
    assert not elsewhere, "a private name of Textual outside tui/terminal: a public way, or move it there"
    assert set().union(*found.values()) == NAMES | MODULES


def test_nobody_else_imports_private_modules_of_textual() -> None:
    others = [file for file in PACKAGE.rglob("*.py") if PACKAGE / "tui" not in file.parents]
    assert not {name for file in others for name in imported(file)}


def test_what_stands_in_for_our_parts_uses_no_private_name() -> None:
    for name in ("stock", "base", "textual_version"):
        assert not {*used(FOLDER / f"{name}.py"), *imported(FOLDER / f"{name}.py")}
