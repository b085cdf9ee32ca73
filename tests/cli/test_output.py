"""What commands print: one place does it, and nothing foreign reaches a terminal raw, whatever field it stands in."""

import ast
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.results import make_results, write_folder
from support.terminal_output import HOSTILE, offences, on_terminal, poisoned

import infertui
from infertui.cli.output import harmless_json
from infertui.results.result import Result
from infertui.text import CONTROLS

PACKAGE = Path(infertui.__file__).parent
KEPT = PACKAGE.parent / "reports" / "h200-bench" / "results.jsonl"
# Workers and engines write to a log file, what downloads a model to the runner's pipe. `entry` tells why the screen
# could not start, before commands are imported.
NO_TERMINAL = ("worker", "targets/engine", "models/hub/child.py", "cli/output.py", "entry.py")
_PRINTING = {"print", "typer.echo", "typer.secho", "typer.style", "Console", "rich.print"}
DOCUMENTS = st.recursive(
    st.text() | st.none() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
)
_STREAMS = {"stdout", "stderr"}


def printing(source: str) -> list[str]:
    """The calls in `source` that print past `cli/output.py`."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in _PRINTING or name.endswith((".console.Console", ".buffer.write")):
                found.append(f"{node.lineno}: {name}")
            elif isinstance(node.func, ast.Attribute) and node.func.attr in ("write", "writelines"):
                parts = ast.walk(node.func.value)
                if any(isinstance(part, ast.Attribute) and part.attr in _STREAMS for part in parts):
                    found.append(f"{node.lineno}: {name}")
    return found


def test_one_place_prints() -> None:
    others = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if not name.startswith(NO_TERMINAL) and (found := printing(path.read_text(encoding="utf-8"))):
            others[name] = found
    assert others == {}


@pytest.mark.parametrize(
    "line",
    ["print(x)", "typer.echo(x)", "sys.stdout.write(x)", "sys.stdout.buffer.write(x)", "rich.console.Console()"],
)
def test_what_prints_is_found(line: str) -> None:
    assert printing(line)


@settings(max_examples=50)
@given(DOCUMENTS)
def test_harmless_json_is_the_same_data_without_control_characters(document: Any) -> None:
    text = json.dumps(document, ensure_ascii=False)
    assert json.loads(harmless_json(text)) == json.loads(text)
    assert not set(harmless_json(text)) & CONTROLS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reports folder with a hostile name, in which every text that may be hostile is."""
    out = tmp_path_factory.mktemp("hostile") / HOSTILE.replace("/", "").replace("\x00", "")
    out.mkdir()
    # Ids and names of engines and states lead to files and code; all else may be anything.
    keep = frozenset({"id", "state"})
    places = 0
    failed = next(result for result in make_results(200) if result.error)
    bench = [msgspec.json.decode(line, type=Result) for line in KEPT.read_bytes().splitlines()[:2]]
    with (out / "results.jsonl").open("wb") as index:
        for result in (*bench, failed, next(make_results(1))):
            write_folder(out, result)
            document = msgspec.json.decode(msgspec.json.encode(result))
            places += poisoned(
                document, lambda whole: msgspec.json.decode(msgspec.json.encode(whole), type=Result), keep
            )
            line = msgspec.json.encode(document)
            index.write(line + b"\n")
            (out / result.id / "result.json").write_bytes(line)
            (out / result.id / "worker.log").write_text(HOSTILE * 3, encoding="utf-8")
    assert places > 200
    return out


def ids(folder: Path) -> list[str]:
    return [json.loads(line)["id"] for line in (folder / "results.jsonl").read_bytes().splitlines()]


@pytest.mark.parametrize(
    "words",
    [
        "results", "results --json", "results --csv", "results --markdown", "results name=x", "results --agreement ID0",
        "compare ID0 ID1", "compare ID0 ID1 --json", "compare ID0 ID1 --markdown", "cost ID0 ID1", "cost ID0 --json",
        "cost ID0 ID1 --markdown", "export ID0", "export ID0 --format vllm", "export ID0 --format six-field",
        "report ID0 ID1 --no-charts --from DIR --out made", "report ID0 --no-charts --from DIR --out made --json",
        "run DIR/ID0/run.toml --dry-run",
        "results --out DIR/missing", "compare ID0 missing", "config show DIR/no.toml",
    ],
)  # fmt: skip
def test_nothing_foreign_reaches_a_terminal(
    folder: Path, words: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first, second = ids(folder)[:2]
    given = [word.replace("ID0", first).replace("ID1", second).replace("DIR", str(folder)) for word in words.split(" ")]
    monkeypatch.chdir(tmp_path)
    if not {"--out", "config", "run"} & set(given):
        given += ["--out", str(folder)]
    for width in (200, 80):
        code, shown = on_terminal(given, monkeypatch, columns=width)
        assert offences(shown) == [], (words, width)
        assert shown.strip(), words
        assert code in (0, 2, 3), (words, shown)
