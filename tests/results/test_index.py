import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.called import PACKAGE, modules_called
from support.filters import DOCUMENTED, prefixes, written
from support.results import make_results, write_results
from support.structs import values_of

import infertui.results.row
from infertui.errors import StoreError
from infertui.measure.summary import Summary
from infertui.measure.validity import Verdict
from infertui.metrics.filter import FilterError, Term, fold, holds, parse
from infertui.metrics.registry import metric_of
from infertui.metrics.varying import asked_of
from infertui.results import index
from infertui.results.config_keys import config_keys
from infertui.results.index import Column, ResultIndex, ResultPage, ResultQuery, ResultRow
from infertui.results.result import DeviceFigures, Error, Result
from infertui.results.row import ResultLine, read_line, row_of
from infertui.results.runs import Store
from infertui.targets.engine.base import Loaded
from infertui.telemetry.readings import GpuInfo


def opened(out: Path) -> ResultIndex:
    return ResultIndex(out, cache=out.parent / "cache")


def query(out: Path, **values: Any) -> ResultQuery:
    return ResultQuery(str(out), **values)


def ids(page: ResultPage) -> list[str]:
    return [row.id for row in page.rows]


def append(out: Path, *lines: bytes) -> None:
    with (out / "results.jsonl").open("ab") as stream:
        stream.writelines(lines)


def line(run: str, **values: object) -> bytes:
    return msgspec.json.encode({"id": run, **values}) + b"\n"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "reports"
    folder.mkdir()
    return folder


# Rows


def row(result: Result) -> ResultRow:
    made = row_of(msgspec.json.decode(msgspec.json.encode(result), type=ResultLine))
    return msgspec.structs.replace(made, asked=asked_of(result))


def one(**changes: Any) -> Result:
    """A finished, valid result with these changes."""
    found = next(r for r in make_results(50) if r.state == "finished" and r.loaded and r.loaded.device != "cpu")
    return msgspec.structs.replace(found, **{"verdict": Verdict(), "device": None} | changes)


def loaded(result: Result, **changes: Any) -> Loaded:
    assert result.loaded
    return msgspec.structs.replace(result.loaded, **changes)


def test_a_row_holds_what_the_result_says() -> None:
    result = one()
    got = row(result)
    assert result.loaded
    assert result.summary.ttft
    assert (got.id, got.name, got.state, got.model) == (result.id, result.name, "finished", result.own_config.model.id)
    assert (got.engine, got.dtype, got.device) == ("transformers", result.loaded.dtype, "NVIDIA H200")
    assert (got.throughput, got.ttft) == (result.summary.output_throughput, result.summary.ttft.p50)
    assert got.seconds == pytest.approx(sum(result.phases.values()))
    assert got.valid


def test_memory_is_the_process_on_the_gpu_else_the_allocator_else_the_process_on_a_cpu() -> None:
    result = one()
    assert row(one(device=DeviceFigures(vram_process=7))).vram == 7
    assert row(result).vram == result.summary.memory.allocated_peak
    memory = msgspec.structs.replace(result.summary.memory, allocated_peak=None, resident_peak=9)
    summary = msgspec.structs.replace(result.summary, memory=memory)
    assert row(one(summary=summary)).vram is None
    assert row(one(summary=summary, loaded=loaded(result, device="cpu"))).vram == 9


def test_the_engine_is_the_one_that_ran() -> None:
    result = one()
    got = row(one(loaded=loaded(result, engine="simulator", engine_requested="transformers")))
    assert got.engine == "simulator"
    assert "fallback" in got.flags
    assert row(one(loaded=None)).engine == result.own_config.engine.name


@pytest.mark.parametrize(
    ("changes", "flags"),
    [
        ({"state": "failed", "error": Error("out-of-memory", "x")}, ("OOM",)),
        ({"state": "failed", "error": Error("killed", "x")}, ("killed",)),
        ({"state": "failed"}, ("error",)),
        ({"state": "interrupted"}, ("interrupted",)),
        ({"verdict": Verdict(("another process used the GPU: python (1)",))}, ("invalid", "foreign")),
        ({"verdict": Verdict(("output length not reached: 3 tokens of 4",))}, ("invalid", "short-output")),
        ({"verdict": Verdict((), ("throughput varied by 20% between iterations",))}, ("noisy",)),
        ({"device": DeviceFigures(throttles=("power-cap",))}, ("power-cap",)),
        ({"device": DeviceFigures(throttles=("hw-thermal", "sync-boost"))}, ("thermal", "throttle")),
        (
            {
                "verdict": Verdict(("it was hot",), (), ("thermal", "\x1b[31mlow")),
                "device": DeviceFigures(throttles=("power-cap",)),
            },
            ("invalid", "thermal", "low"),
        ),
    ],
)  # fmt: skip
def test_flags_say_what_to_know(changes: dict[str, Any], flags: tuple[str, ...]) -> None:
    calm = msgspec.structs.replace(one().summary, drift=0.0)
    weights = loaded(one(), random_weights=False)
    assert row(one(**{"summary": calm, "loaded": weights} | changes)).flags == flags


def test_random_weights_and_drift_are_flagged() -> None:
    moved = msgspec.structs.replace(one().summary, drift=-0.2)
    assert row(one(summary=moved, loaded=loaded(one(), random_weights=True))).flags == ("drift", "synthetic")


def test_an_older_line_with_next_to_nothing_is_read(out: Path) -> None:
    append(out, line("old"), line("odd", summary={"later": 1}, config={"model": {"id": "m"}}))
    page = opened(out).page(query(out))
    assert {row.id: row.model for row in page.rows} == {"old": "", "odd": "m"}


def test_a_line_that_tells_no_number_has_none_in_its_row(out: Path) -> None:
    append(
        out,
        line("x", config={"workload": {}}, phases={}, loaded={}, device={}, power={}, limits={}, quality={}, error={},
             summary={"ttft": {}, "itl": {}, "output_throughput_interval": {}}),
    )  # fmt: skip
    (got,) = opened(out).page(query(out)).rows
    values = {name: getattr(got, name) for name in got.__struct_fields__}
    assert {name: value for name, value in values.items() if isinstance(value, int | float)} == {"valid": True}


@pytest.mark.parametrize(
    ("layers", "known"),
    [("20 of 32", 20), ("0 of 32", 0), ("", None), ("many", None), ("9" * 30, None), ("9" * 5000, None)],
)
def test_layers_on_the_gpu_are_a_number_that_a_column_holds(out: Path, layers: str, known: int | None) -> None:
    result = one()
    result = msgspec.structs.replace(result, loaded=loaded(result, offloaded_layers=layers))
    append(out, msgspec.json.encode(result) + b"\n")
    (got,) = opened(out).page(query(out)).rows
    assert got.gpu_layers == known


CARDS = tuple(GpuInfo(index, f"GPU-{index}", memory_total=total) for index, total in enumerate((80, 20, 0, None)))


@pytest.mark.parametrize(
    ("uuid", "by_gpu", "share"),
    [
        ("GPU-0", None, 10 / 80),
        ("GPU-0", {"0": 6, "1": 4}, 10 / 100),
        ("GPU-2", None, None),  # a memory of nothing
        ("GPU-3", None, None),  # a memory that is not known
        ("GPU-9", None, None),
        ("GPU-0", {"0": 6, "2": 4}, None),
        ("GPU-0", {"0": 6, "7": 4}, None),  # a share of one card would be told of two
        ("GPU-0", {"7": 6, "8": 4}, None),
    ],
)
def test_the_share_of_the_memory_is_of_all_cards_or_of_none(
    uuid: str, by_gpu: dict[str, int] | None, share: float | None
) -> None:
    result = one()
    result = msgspec.structs.replace(
        result,
        loaded=loaded(result, device_uuid=uuid),
        device=DeviceFigures(vram_process=10, vram_process_by_gpu=by_gpu),
        fingerprint=msgspec.structs.replace(result.fingerprint, gpus=CARDS),
    )
    assert row(result).vram_share == share


def test_a_prompt_file_keeps_its_name_even_if_that_is_of_digits(out: Path) -> None:
    names = ["0123", "007", "00", "\N{ARABIC-INDIC DIGIT THREE}", "9" * 20, "512"]
    for name in names:
        append(out, line(name, config={"workload": {"input_len": 0, "prompts_file": name}}))
    append(out, line("length", config={"workload": {"input_len": 123}}))
    table = opened(out)
    assert {row.id: row.input_len for row in table.page(query(out)).rows} == {
        **{name: name for name in names}, "length": "123",
    }  # fmt: skip
    for text, found in {"in=0123": ["0123"], "in=123": ["length"], "in>=100": ["length", "512"]}.items():
        page = table.page(query(out, filter=text))
        assert sorted(ids(page)) == sorted(found), text
        terms = parse(text)
        rows = table.page(query(out)).rows
        assert sorted(row.id for row in rows if all(holds(row, term) for term in terms)) == sorted(found), text


def test_all_code_that_makes_rows_is_in_the_fingerprint() -> None:
    """Else an index of before it changed would go on showing what the old code made of the lines."""
    kept = [line for file in sorted((Path(__file__).parent / "lines").iterdir()) for line in file.open("rb")]
    called = modules_called(lambda: [(row_of(read_line(one)), config_keys(one)) for one in kept])
    assert called
    assert called <= {file for pattern in index.MADE_BY for file in PACKAGE.glob(pattern)}


def test_foreign_text_is_cleaned(out: Path) -> None:
    append(out, line("x", name="\x1b]0;owned\x07a\nb\u202e", error={"message": "\x1b[31mred"}))
    (got,) = opened(out).page(query(out)).rows
    assert (got.name, got.error) == ("a b\N{REPLACEMENT CHARACTER}", "red")


@settings(
    max_examples=100,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)
@given(values_of(Result).filter(lambda result: result.id))
def test_every_result_has_a_row_that_survives_the_table(
    tmp_path_factory: pytest.TempPathFactory, result: Result
) -> None:
    out = tmp_path_factory.mktemp("any") / "reports"
    out.mkdir()
    append(out, msgspec.json.encode(result) + b"\n")
    assert opened(out).page(query(out)).rows == (row(result),)


# Keeping up with the file


def test_a_folder_without_results_is_empty(out: Path) -> None:
    table = opened(out)
    table.refresh()
    assert table.page(query(out)).total == 0
    assert opened(out / "nowhere").page(query(out)).rows == ()


def test_what_is_appended_is_taken_in_and_nothing_is_read_twice(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_results(out, 20)
    table = opened(out)
    assert table.refresh()
    assert not table.refresh()
    before = table.page(query(out)).version
    read: list[str] = []

    def noted(line: ResultLine, *rest: Any) -> ResultRow:
        read.append(line.id)
        return row_of(line, *rest)

    monkeypatch.setattr("infertui.results.row.row_of", noted)
    append(out, line("new"))
    assert table.refresh()
    page = table.page(query(out))
    assert (page.total, read) == (21, ["new"])
    assert page.version > before
    assert opened(out).page(query(out)).total == 21
    assert read == ["new"]  # another process finds it done


def test_a_line_without_its_end_is_not_there_yet(out: Path) -> None:
    whole = line("two", name="second")
    append(out, line("one"), whole[:10])
    table = opened(out)
    assert ids(table.page(query(out))) == ["one"]
    assert table.page(query(out)).skipped == 0
    append(out, whole[10:])
    assert table.page(query(out)).total == 2


def test_lines_that_cannot_be_read_are_skipped_and_counted(out: Path) -> None:
    append(
        out,
        line("a"),
        b"{]\n",
        b"\n",
        b'{"id":""}\n',
        b'{"id":"x","summary":{"iterations":"many"}}\n',
        b"\xff\n",
        line("b"),
    )
    append(out, b'{"id":"deep","x":' + b"[" * 5000 + b"\n")
    page = opened(out).page(query(out))
    assert (page.total, page.skipped) == (2, 5)


def test_a_number_that_no_column_holds_makes_a_bad_line_not_a_bad_table(out: Path) -> None:
    append(out, b'{"id":"x","config":{"workload":{"batch_size":' + b"9" * 30 + b"}}}\n", line("fine"))
    assert ids(opened(out).page(query(out))) == ["fine"]


@pytest.mark.parametrize("change", ["shrunk", "replaced", "rewritten", "gone"])
def test_another_file_is_read_anew(out: Path, change: str) -> None:
    write_results(out, 20)
    table, file = opened(out), out / "results.jsonl"
    before = table.page(query(out)).version
    if change == "shrunk":
        lines = file.read_bytes().splitlines(keepends=True)
        os.truncate(file, sum(map(len, lines[:3])))
    elif change == "replaced":
        (out / "other").write_bytes(b"".join(line(f"r{n}") for n in range(2000)))
        (out / "other").replace(file)
    elif change == "rewritten":
        with file.open("r+b") as stream:
            stream.write(line("first" * 100))
            stream.write(b" " * 5000)
    else:
        file.unlink()
    page = table.page(query(out))
    expected = {"shrunk": 3, "replaced": 2000, "gone": 0}
    if change in expected:
        assert page.total == expected[change]
    else:
        assert "first" * 100 in ids(table.page(query(out, limit=1000)))
    assert page.version > before
    assert table.refresh()


def test_a_table_of_another_schema_or_a_broken_one_is_made_anew(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_results(out, 10)
    opened(out).page(query(out))
    (file,) = (out.parent / "cache").iterdir()
    monkeypatch.setattr(index, "_SCHEMA", 99)
    assert opened(out).page(query(out)).total == 10
    file.write_bytes(b"this is no database at all, whatever it says" * 200)
    assert opened(out).page(query(out)).total == 10
    assert file.read_bytes().startswith(b"SQLite")


@pytest.mark.parametrize("obstacle", ["file", "link"])
def test_without_a_cache_folder_it_works_in_memory(out: Path, obstacle: str) -> None:
    write_results(out, 10)
    cache = out.parent / "cache"
    if obstacle == "file":
        cache.touch()
    else:
        cache.symlink_to(out.parent / "nowhere" / "at all")
    table = ResultIndex(out, cache=cache)
    assert table.page(query(out)).total == 10
    append(out, line("more"))
    assert table.refresh()
    assert table.page(query(out)).total == 11


def test_a_table_that_another_process_will_not_let_go_of_is_made_in_memory(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_results(out, 10)
    table = opened(out)
    assert table.page(query(out)).total == 10
    (file,) = (out.parent / "cache").iterdir()
    monkeypatch.setattr(index, "BUSY_S", 0.05)
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    append(out, line("more"))
    second = opened(out)
    assert second.page(query(out)).total == 11
    other.close()


def test_the_cache_is_where_the_user_keeps_caches(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(out.parent / "xdg"))
    ResultIndex(out).refresh()
    assert len(list((out.parent / "xdg" / "infertui" / "index").glob("*.sqlite"))) == 1
    assert list(out.iterdir()) == []
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(out.parent))
    assert index.cache_folder() == out.parent / ".cache" / "infertui" / "index"


def test_results_that_may_not_be_read_are_said_so(out: Path) -> None:
    (out / "results.jsonl").mkdir()
    with pytest.raises(StoreError, match="results"):
        opened(out).page(query(out))


def test_deletion_and_appending_in_turns_keep_the_table_right(out: Path) -> None:
    store, table = Store(out), opened(out)
    written = write_results(out, 30)
    assert table.page(query(out)).total == 30
    store.delete(written[:10])
    append(out, *(line(f"new{n}") for n in range(200)))
    assert {row.id for row in table.page(query(out, limit=1000)).rows} == {
        *written[10:],
        *(f"new{n}" for n in range(200)),
    }


def test_processes_that_read_and_write_at_once_all_end_up_with_everything(out: Path) -> None:
    program = (
        "import sys\nfrom pathlib import Path\nfrom infertui.results.index import ResultIndex, ResultQuery\n"
        "from infertui.results.jsonl import JsonlWriter\n"
        "out, number = Path(sys.argv[1]), sys.argv[2]\n"
        "table = ResultIndex(out, cache=out.parent / 'cache')\n"
        "sys.stdin.readline()\n"
        "for n in range(40):\n"
        "    with JsonlWriter(out / 'results.jsonl') as writer:\n"
        "        writer.append({'id': f'{number}-{n}'})\n"
        "    page = table.page(ResultQuery(str(out), limit=1000))\n"
        "    assert f'{number}-{n}' in {row.id for row in page.rows}, page\n"
        "    assert len(page.rows) == page.matching == page.total\n"
    )
    pipe = subprocess.PIPE
    processes = [
        subprocess.Popen([sys.executable, "-c", program, str(out), str(n)], stdin=pipe, text=True) for n in range(3)
    ]
    for process in processes:
        process.communicate("go\n")
    assert [process.returncode for process in processes] == [0] * 3
    assert opened(out).page(query(out)).total == 120


def test_threads_share_one_table(out: Path) -> None:
    write_results(out, 300)
    table = opened(out)
    totals: list[int] = []

    def look(sort: Column) -> None:
        totals.extend(table.page(query(out, sort=sort, filter="!llama")).matching for _ in range(20))

    threads = [threading.Thread(target=look, args=(sort,)) for sort in ("model", "ttft", "started", "vram")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(totals) == 80
    assert len(set(totals)) == 1


# Pages


def test_pages_follow_each_other_without_gap_or_overlap(out: Path) -> None:
    written = write_results(out, 250)
    table = opened(out)
    pages = [table.page(query(out, offset=start, limit=100)) for start in (0, 100, 200, 300)]
    assert [len(page.rows) for page in pages] == [100, 100, 50, 0]
    assert [row.id for page in pages for row in page.rows] == written[::-1]
    assert [page.offset for page in pages] == [0, 100, 200, 300]


def test_odd_limits_and_offsets_are_harmless(out: Path) -> None:
    write_results(out, 5)
    table = opened(out)
    assert len(table.page(query(out, offset=-7, limit=10**9)).rows) == 5
    assert table.page(query(out, limit=-1)).rows == ()
    assert table.page(query(out, offset=10**12)).rows == ()


def test_a_long_file_is_taken_in_pieces_that_are_kept(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read before a process ended is not read again, and in the end all of it is there."""
    monkeypatch.setattr("infertui.results.index._PIECE", 4)
    monkeypatch.setattr("infertui.results.index._CHUNK", 2)
    (out / "results.jsonl").write_bytes(b"".join(line(f"run-{number:02}") + b"\n" for number in range(11)))
    read: list[str] = []
    real = infertui.results.row.row_of

    def row_of(found: Any, *rest: Any) -> ResultRow:
        if len(read) == 7:
            raise KeyboardInterrupt
        read.append(found.id)
        return real(found, *rest)

    monkeypatch.setattr(infertui.results.row, "row_of", row_of)
    with pytest.raises(KeyboardInterrupt):
        opened(out).page(query(out))
    assert len(read) == 7
    again: list[str] = []

    def row_again(found: Any, *rest: Any) -> ResultRow:
        again.append(found.id)
        return real(found, *rest)

    monkeypatch.setattr(infertui.results.row, "row_of", row_again)
    page = opened(out).page(query(out, descending=False))
    assert sorted(ids(page)) == [f"run-{number:02}" for number in range(11)]
    assert again == [f"run-{number:02}" for number in range(4, 11)], "the first piece was kept"


def test_a_run_is_found_wherever_it_is(out: Path) -> None:
    written = write_results(out, 250)
    table = opened(out)
    page = table.page(query(out, limit=100, find=written[0]))
    assert (page.found, page.offset) == (249, 200)
    assert page.rows[49].id == written[0]
    page = table.page(query(out, limit=100, find=written[-1]))
    assert (page.found, page.offset) == (0, 0)
    assert table.page(query(out, find="nobody")).found is None
    assert table.page(query(out, find=written[0], filter=f"id={written[1]}")).found is None


def test_a_filter_that_makes_no_sense_is_refused(out: Path) -> None:
    with pytest.raises(FilterError, match="nearest: model"):
        opened(out).page(query(out, filter="modl:x"))


def test_the_table_answers_or_refuses_whatever_is_on_the_line_while_a_filter_is_typed(out: Path) -> None:
    write_results(out, 5)
    table, answered = opened(out), 0
    for text in prefixes([*DOCUMENTED, *written()])[::3]:
        try:
            answered += table.page(query(out, filter=text)).total == 5
        except FilterError:
            continue
    assert answered > 500


def test_a_run_that_is_there_twice_is_shown_as_it_was_last(out: Path) -> None:
    append(out, line("x", name="old"), line("y"), line("x", name="new"))
    page = opened(out).page(query(out))
    assert {row.id: row.name for row in page.rows} == {"x": "new", "y": ""}


# The same as in plain Python


def value_of(row: ResultRow, key: str) -> Any:
    if key == "started":
        return datetime.fromisoformat(row.started).timestamp()
    value = getattr(row, key)
    return (int(value) if value.isdecimal() and str(int(value)) == value else value) if key == "input_len" else value


def matches(row: ResultRow, term: Term) -> bool:
    found = _matches(row, term)
    return not found if term.negated else found


def _matches(row: ResultRow, term: Term) -> bool:
    key, value = term.key, term.value
    if key == "":
        texts = (row.id, row.name, row.state, row.model, row.engine, row.dtype, row.device, row.error, row.config_hash,
                 row.started, row.input_len, *row.flags)  # fmt: skip
        return any(str(value) in fold(text) for text in texts)
    if key == "valid":
        return row.valid is value
    if key == "flag":
        return str(value) in row.flags if term.operator == "=" else any(str(value) in flag for flag in row.flags)
    if isinstance(value, str):
        text = fold(str(getattr(row, key)))
        return text == value if term.operator == "=" else value in text
    mine = value_of(row, key)
    if mine is None or isinstance(mine, str):
        return False
    compare: dict[str, Callable[[], bool]] = {
        ">": lambda: mine > value, ">=": lambda: mine >= value, "<": lambda: mine < value, "<=": lambda: mine <= value,
    }  # fmt: skip
    slack = abs(value) * 0.005 if metric_of(key).unit.kind == "figure" else 0.0
    return compare.get(term.operator, lambda: bool(value - slack <= mine <= value + slack))()


def in_order(rows: Sequence[ResultRow], sort: Column, *, descending: bool) -> list[ResultRow]:
    """Stable, in the file's order, what is not available last either way."""

    def key(row: ResultRow) -> Any:
        value = value_of(row, sort)
        if sort == "input_len":
            return (isinstance(value, str), value if isinstance(value, int) else 0, fold(str(value)))
        return fold(value) if isinstance(value, str) else value

    known = [row for row in rows if value_of(row, sort) not in (None, "")]
    unknown = [row for row in rows if value_of(row, sort) in (None, "")]
    order = sorted(known, key=key)
    if descending:
        order = sorted(reversed(known), key=key, reverse=True)  # noqa: C414 (of equals the newest first)
    return order + (unknown[::-1] if descending else unknown)


WORDS = """
llama Qwen !synthetic state:failed !state:failed state=finished valid:no valid:yes flag:power-cap flag=synthetic
flag:the !flag:o batch_size>=8 batch:4 !b<16 ttft<50ms !ttft<50ms tpot>0.01s vram>9 vram<=512MiB j/tok<1 drift<0
!drift>-1% in:512 in:short in>100 !in>100 out=64 e2e>1 started>=2026-03-02 started:2026-03
throughput:150 engine=simulator dtype:16 device:h200 gpu:cpu OOM error:killed 8.1
iterations=10 seconds>30s power>400W id:mistral !nothing
"""
words = st.sampled_from(WORDS.split())


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ResultIndex, list[ResultRow]]:
    out = tmp_path_factory.mktemp("many") / "reports"
    write_results(out, 400, seed=7)
    rows = [row(result) for result in make_results(400, seed=7)]
    return out, opened(out), rows


@settings(max_examples=200, deadline=None)
@given(
    filters=st.lists(words, max_size=3).map(" ".join),
    sort=st.sampled_from(get_args(Column)),
    descending=st.booleans(),
    offset=st.integers(0, 420),
    limit=st.integers(0, 150),
)
def test_a_page_is_what_filtering_and_sorting_in_python_gives(
    many: tuple[Path, ResultIndex, list[ResultRow]],
    filters: str, sort: Column, descending: bool, offset: int, limit: int,
) -> None:  # fmt: skip
    out, table, rows = many
    page = table.page(query(out, filter=filters, sort=sort, descending=descending, offset=offset, limit=limit))
    terms = parse(filters)
    expected = in_order([row for row in rows if all(matches(row, term) for term in terms)], sort, descending=descending)
    assert page.matching == len(expected)
    assert page.total == 400
    assert list(page.rows) == expected[offset : offset + limit]


def test_the_copy_of_an_index_serves_the_same_folder_elsewhere_no_more(out: Path) -> None:
    """The file's name is of the folder's path, and its content knows the file it was read from."""
    write_results(out, 10)
    opened(out).refresh()
    other = out.parent / "moved"
    shutil.copytree(out, other)
    append(other, line("more"))
    assert opened(other).page(query(other)).total == 11
    assert opened(out).page(query(out)).total == 10


def test_an_empty_summary_has_no_figures() -> None:
    nothing = Summary(iterations=0, requests=0, failed=0, prompt_tokens=0, output_tokens=0, measured_s=0.0)
    got = row(one(summary=nothing, power=None, phases={}))
    figures = ("throughput", "low", "ttft", "tpot", "itl_p99", "latency", "vram", "power", "drift", "seconds")
    assert [getattr(got, name) for name in figures] == [None] * len(figures)
