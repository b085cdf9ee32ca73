"""Every place that reads a file by a name: whatever has it, there is one answer, at once and in bounded memory."""

import errno
import itertools
import json
import os
import resource
import socket
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np  # noqa: F401 (its libraries take room, which is not what is bounded here)
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import inspect
from support.results import make_results

from infertui import regular_files
from infertui.analysis.cost import prices
from infertui.config import toml
from infertui.errors import InfertuiError
from infertui.formats.detect import read as read_foreign
from infertui.formats.reader import SourceFile
from infertui.load.prompts import read_prompts
from infertui.measure.records import RequestRecord
from infertui.models.resolve import read_config, resolve
from infertui.models.tokenizers import load_tokenizer
from infertui.results.details import read_details
from infertui.results.index import ResultIndex
from infertui.results.observations import read_observations
from infertui.results.peaks import read_peaks
from infertui.results.result import Result
from infertui.results.results_file import remove_lines
from infertui.results.runs import Begun, Store
from infertui.results.table import ResultQuery
from infertui.runner.queries import Reports
from infertui.runner.recovery import recover
from infertui.targets.engine import environments
from infertui.telemetry.readings import Sample
from infertui.tui import themes
from infertui.tui.config import config_file
from infertui.tui.config.form import base as form_base
from infertui.tui.settings import stored as screen_settings
from infertui.tui.terminal import early

RESULTS = [msgspec.json.encode(result) for result in make_results(3)]

# Reading a file of each place, by the folder that is its world: XDG directories, a reports folder, a model's folder.


def _environ(world: Path) -> dict[str, str]:
    return {"XDG_CONFIG_HOME": str(world / "config"), "XDG_STATE_HOME": str(world / "state"), "HOME": str(world)}


def _themes(world: Path) -> object:
    found, wrong = themes.load(_environ(world))
    assert set(themes.SHIPPED) <= set(found)
    return [error.problem for error in wrong] or "mine" in found


def _settings(world: Path) -> object:
    path = early.settings_path(_environ(world))
    early.read(path)
    return screen_settings.read(path).problems


def _details(world: Path) -> object:
    return read_details(world / "out" / "run")


def _index(world: Path) -> object:
    index = ResultIndex(world / "out", cache=world / "cache")
    try:
        return index.page(ResultQuery(out=str(world / "out")))
    finally:
        index.close()


def _imported(world: Path) -> object:
    with SourceFile.open(world / "foreign.json") as source:
        return read_foreign(source)


PLACES: dict[str, tuple[str, Callable[[Path], object]]] = {
    "settings": ("config/infertui/settings.toml", _settings),
    "themes": ("config/infertui/themes/mine.toml", _themes),
    "prices": ("config/infertui/prices.toml", lambda world: prices.load_prices(_environ(world))),
    "engines": ("config/infertui/engines.toml", lambda world: environments.chosen(_environ(world))),
    "ceilings": ("state/infertui/ceilings.json", lambda world: read_peaks(_environ(world))),
    "config": ("run.toml", lambda world: toml.read(world / "run.toml")),
    "form": ("run.toml", lambda world: form_base.from_file(world / "run.toml", {})),
    "form's loss": ("run.toml", lambda world: config_file.loss(world / "run.toml", "")),
    "index": ("out/results.jsonl", _index),
    "results": ("out/results.jsonl", lambda world: list(Store(world / "out").results(warn=lambda _: None))),
    "result by id": ("out/results.jsonl", lambda world: Store(world / "out").result_of("run")),
    "results removed": ("out/results.jsonl", lambda world: remove_lines(world / "out/results.jsonl", frozenset({"x"}))),
    "result.json": ("out/run/result.json", _details),
    "result asked for": ("out/run/result.json", lambda world: Reports().result(str(world / "out"), "run")),
    "run.toml of a run": ("out/run/run.toml", _details),
    "requests.jsonl": ("out/run/requests.jsonl", _details),
    "observations": ("out/run/requests.jsonl", lambda world: read_observations(world / "out" / "run")),
    "outputs.jsonl": ("out/run/outputs.jsonl", lambda world: Store(world / "out").outputs("run")),
    "telemetry.jsonl": ("out/run/telemetry.jsonl", _details),
    "worker.log": ("out/run/worker.log", _details),
    "begun.json": ("out/run/begun.json", lambda world: recover(Store(world / "out"))),
    "config.json": ("model/config.json", lambda world: read_config(world / "model/config.json")),
    "model": ("model/config.json", lambda world: resolve(str(world / "model"))),
    "GGUF": ("m.gguf", lambda world: resolve(str(world / "m.gguf"))),
    "prompts": ("prompts.txt", lambda world: read_prompts(world / "prompts.txt")),
    "import": ("foreign.json", _imported),
}


def _tokenizer(world: Path) -> object:
    return load_tokenizer(msgspec.structs.replace(resolve("synthetic:nano"), kind="local", path=world / "model"))


PLACES["tokenizer.json"] = ("model/tokenizer.json", _tokenizer)


@pytest.fixture
def world(tmp_path: Path) -> Path:
    for path, _ in PLACES.values():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    return tmp_path


# What may stand there.


def _socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the path of a socket is short
    try:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(path.name)
    finally:
        os.chdir(here)


def _enormous(path: Path) -> None:
    path.touch()
    os.truncate(path, 40 << 30)  # sparse: takes no room


SPECIAL: dict[str, Callable[[Path], object]] = {
    "pipe": os.mkfifo,
    "endless device": lambda path: path.symlink_to("/dev/zero"),
    "empty device": lambda path: path.symlink_to("/dev/null"),
    "folder": Path.mkdir,
    "socket": _socket,
    "loop": lambda path: path.symlink_to(path.name),
    "link to nothing": lambda path: path.symlink_to("nothing"),
    "enormous": _enormous,
    "brackets": lambda path: path.write_bytes(b"[" * 5000),
    "brackets of TOML": lambda path: path.write_bytes(b"a = " + b"[" * 5000),
    "tables of TOML": lambda path: path.write_bytes(b"a = " + b"{ a = " * 5000),
    "dots of TOML": lambda path: path.write_bytes(b"[" + b".".join([b"a"] * 5000) + b"]"),
    "braces": lambda path: path.write_bytes(b'{"a":' * 5000),
    "digits": lambda path: path.write_bytes(b"9" * 5000),
    "digits of TOML": lambda path: path.write_bytes(b"theme = " + b"9" * 5000),
    "an integer beyond 64 bits": lambda path: path.write_bytes(b"theme = 99999999999999999999\n"),
    "half of a character": lambda path: path.write_bytes(b'{"id": "\\ud800", "prompt": "\\ud800"}\n'),
    "not UTF-8": lambda path: path.write_bytes(b'theme = "\xff\xfe"\n'),
    "null bytes": lambda path: path.write_bytes(b"\0" * 5000),
    "empty": lambda path: path.write_bytes(b""),
}


@pytest.fixture
def bounded() -> Iterator[None]:
    """No more memory than half a GiB above what is in use, and no more than two seconds of this process."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    in_use = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (in_use + (1 << 29), before[1]))
    began = time.process_time()
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    assert time.process_time() - began < 2


def outcome(look: Callable[[Path], object], world: Path) -> str:
    """The one error of infertui's own, if there is any; whatever else is raised is a fault."""
    try:
        look(world)
    except InfertuiError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.usefixtures("bounded")
def test_whatever_stands_there_is_read_or_refused_in_words(place: str, kind: str, world: Path) -> None:
    path, look = PLACES[place]
    SPECIAL[kind](world / path)
    said = outcome(look, world)
    assert said.replace("\n", " ").isprintable()
    assert len(said) < 2000


@pytest.mark.parametrize("kind", ["brackets of TOML", "digits of TOML", "pipe", "endless device", "folder", "enormous"])
def test_a_theme_that_cannot_be_read_is_left_out_and_told(kind: str, world: Path) -> None:
    SPECIAL[kind](world / PLACES["themes"][0])
    _, wrong = themes.load(_environ(world))
    assert [error.problem[:13] for error in wrong] == ["not a theme: "]


# The functions themselves.


def test_a_file_is_read_whole_up_to_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    assert regular_files.read(path, 3) == b"abc"
    assert (regular_files.read_part(path, 2), regular_files.read_part(path, 2, end=True)) == (b"ab", b"bc")
    with pytest.raises(regular_files.TooLargeError) as caught:
        regular_files.read(path, 2)
    assert caught.value.strerror == "it is larger than 2 B"
    with pytest.raises(regular_files.TooLargeError):
        regular_files.read("/proc/self/status", 2)  # those of the kernel have no size
    with pytest.raises(regular_files.NoNameError):
        regular_files.read("a\0b", 2)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=12).map(lambda line: line.replace(b"\n", b"")), max_size=8), st.integers(1, 8))
def test_lines_are_those_of_the_file_up_to_one_that_is_too_long(
    tmp_path_factory: pytest.TempPathFactory, wanted: list[bytes], longest: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "lines"
    path.write_bytes(b"".join(line + b"\n" for line in wanted))
    with regular_files.opened(path) as file:
        found = list(regular_files.lines(file, longest))
    short = list(itertools.takewhile(lambda line: len(line) < longest, wanted))
    assert found == [line + b"\n" for line in short] + [None] * (len(short) < len(wanted))


def test_kinds() -> None:
    assert regular_files.kind_of(stat.S_IFREG) == ""
    assert regular_files.kind_of(stat.S_IFBLK) == "a device"
    assert regular_files.kind_of(0) == "no regular file"


# Anything at all, in the form of each place.


def _texts(place: str) -> st.SearchStrategy[bytes]:
    """Files of the place's form with one thing wrong, and files of anything."""
    values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
        max_leaves=8,
    )
    kept = [json.loads(line) for line in RESULTS]
    changed = st.builds(
        lambda result, key, value: {**result, key: value}, st.sampled_from(kept), st.sampled_from(list(kept[0])), values
    )
    as_json = (changed | values).map(lambda value: json.dumps(value).encode(errors="replace") + b"\n")
    words = st.sampled_from(["theme", "[gpu]", "[[gpu]]", "name", "styles", "[workload]", "batch_size", "ceilings"])
    as_toml = st.lists(st.tuples(words, values), max_size=4).map(
        lambda pairs: "\n".join(f"{key} = {json.dumps(value)}" for key, value in pairs).encode(errors="replace")
    )
    return as_json | as_toml | st.binary(max_size=200)


@pytest.mark.parametrize("place", PLACES)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_file_is_read_or_refused(place: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    world = tmp_path_factory.getbasetemp() / f"any {place}".replace("/", " ")
    for path, _ in PLACES.values():
        (world / path).parent.mkdir(parents=True, exist_ok=True)
    path, look = PLACES[place]
    (world / path).write_bytes(data.draw(_texts(place)))
    assert outcome(look, world).replace("\n", " ").isprintable()


def test_every_integer_of_a_kept_file_is_bounded() -> None:
    """One of 400 digits is no float, and would end whatever divides by it: each says what it may be."""
    unbounded = {
        f"{owner}.{field}" for root in (Result, Sample, Begun, RequestRecord) for owner, field in _integers(root)
    }
    assert unbounded == set()


def _integers(root: type) -> Iterator[tuple[str, str]]:
    """Struct and field of every integer below `root` that may be anything."""
    rest, seen = [inspect.type_info(root)], set[type]()
    while rest:
        kind = rest.pop()
        if isinstance(kind, inspect.StructType) and kind.cls not in seen:
            seen.add(kind.cls)
            for field in kind.fields:
                for leaf in _leaves(field.type):
                    if isinstance(leaf, inspect.IntType) and None in (leaf.ge, leaf.le):
                        yield kind.cls.__name__, field.name
                    rest.append(leaf)


def _leaves(kind: inspect.Type) -> Iterator[inspect.Type]:
    if isinstance(kind, inspect.UnionType):
        inner: tuple[inspect.Type, ...] = kind.types
    elif isinstance(kind, inspect.DictType):
        inner = (kind.key_type, kind.value_type)
    elif isinstance(kind, inspect.VarTupleType | inspect.ListType):
        inner = (kind.item_type,)
    elif isinstance(kind, inspect.TupleType):
        inner = kind.item_types
    else:
        yield kind
        return
    for one in inner:
        yield from _leaves(one)


CLOSED = PermissionError(errno.EACCES, "Permission denied")


@pytest.mark.parametrize("path", ["a" * 300, "/x/" + "a" * 300 + "/x", "b/" * 2500, "a\0b"])
def test_a_name_that_nothing_can_have_is_not_there(path: str) -> None:
    assert not regular_files.exists(Path(path))
    assert not regular_files.is_file(Path(path))
    assert not regular_files.is_dir(Path(path))


def test_what_is_in_a_closed_folder_is_not_there(tmp_path: Path) -> None:
    """Root may look everywhere, so that another user has to ask."""
    (tmp_path / "file").write_text("x")
    assert regular_files.exists(tmp_path / "file")
    assert regular_files.is_file(tmp_path / "file")
    assert regular_files.is_dir(tmp_path)
    assert not regular_files.is_dir(tmp_path / "file")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Path, "stat", lambda *_, **__: (_ for _ in ()).throw(CLOSED))
        assert not regular_files.exists(tmp_path / "file")
        assert not regular_files.is_file(tmp_path / "file")
        assert not regular_files.is_dir(tmp_path)
