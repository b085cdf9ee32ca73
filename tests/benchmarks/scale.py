"""What a very large reports folder costs: time and peak memory of everything that reads it.

Run it as a script: `python tests/benchmarks/scale.py`. It makes a folder with 100,000 results of some 5 kB each, and
two runs with a million request lines each, in a temporary folder that is removed afterwards. Every line below is a
process of its own, so that its peak memory is that of the one thing it did; seconds are those that went by, and those
of the CPU. Nothing is asserted: the figures depend on the machine.

`python tests/benchmarks/scale.py --runs 1000 --requests 10000` for a look in seconds; `--only compare` for lines whose
name holds the word; `--keep FOLDER` keeps the folder there, and uses it again.
"""

import argparse
import contextlib
import io
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from infertui.results.result import Result

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS), str(TESTS.parent)]
LONG = ("long-run-a", "long-run-b")
LIMIT_S = 900


def main() -> None:
    """Make the folder, measure every case, print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--only", default="")
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        CASES[options.case](options.keep, options.requests)
        return
    with contextlib.ExitStack() as stack:
        folder = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="infertui-scale-")))
        if not (folder / "reports" / "results.jsonl").exists():
            _make(folder, options.runs, options.requests)
        size = (folder / "reports" / "results.jsonl").stat().st_size
        lines = (folder / "reports" / LONG[0] / "requests.jsonl").stat().st_size
        print(f"results.jsonl {size / 1e6:,.0f} MB, requests.jsonl {lines / 1e6:,.0f} MB each", flush=True)
        environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache"), "PYTHONPATH": str(TESTS.parent)}
        for name in CASES:
            if options.only in name:
                words = [sys.executable, __file__, "--case", name, "--keep", str(folder)]
                _measure(name, [*words, "--requests", str(options.requests)], folder, environment)
        for name, arguments in COMMANDS.items():
            if options.only in name:
                words = [word.format(a=LONG[0], b=LONG[1]) for word in arguments]
                _measure(name, [sys.executable, "-m", "infertui", *words], folder, environment)


def _measure(name: str, command: list[str], folder: Path, environment: dict[str, str]) -> None:
    """A line: seconds of the whole process, its peak memory, its exit code, and what it says itself."""
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as errors:
        began = time.perf_counter()
        with subprocess.Popen(command, cwd=folder, env=environment, stdout=out, stderr=errors) as process:
            try:
                _, status, usage = os.wait4(process.pid, 0)
            except KeyboardInterrupt:
                process.kill()
                raise
            process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - began
    # Not read: the peak of a child begins at the memory of the process that starts it.
    size = (folder / "out").stat().st_size
    told = (folder / "out").read_text().strip() if size < 300 and name in CASES else f"{size / 1e6:.1f} MB out"
    if process.returncode not in (0, 4):
        last = (folder / "err").read_text(errors="replace").strip().splitlines()[-1:]
        told = f"exit {process.returncode}: {' '.join(last)[:200]}"
    cpu = usage.ru_utime + usage.ru_stime
    print(f"{name:30} {seconds:8.2f} s {cpu:8.2f} s CPU {usage.ru_maxrss / 1024:8,.0f} MiB   {told}", flush=True)


def _make(folder: Path, runs: int, requests: int) -> None:
    """The folder: results from the tests' own maker, request lines from a template."""
    import msgspec
    from support.results import make_results, write_folder

    reports = folder / "reports"
    reports.mkdir(parents=True)
    last: list[Result] = []
    with (reports / "results.jsonl").open("wb", buffering=1 << 20) as stream:
        for number, result in enumerate(make_results(runs)):
            stream.write(msgspec.json.encode(result) + b"\n")
            last = [*last[-99:], result] if number >= runs - 100 else []
        finished = [
            result for result in last if result.state == "finished" and result.own_config.workload.batch_size == 1
        ]
        long = (finished or last)[-1]
        for name in LONG:
            made = msgspec.structs.replace(long, id=name, name=name)
            stream.write(msgspec.json.encode(made) + b"\n")
            write_folder(reports, made)
            _make_requests(reports / name / "requests.jsonl", requests)


def _make_requests(path: Path, count: int) -> None:
    template = (
        '{"prompt":"What does a kernel of an operating system do, and why is it called that?","prompt_tokens":18,'
        '"tokens":64,"latency":%(latency).9f,"ttft":%(ttft).9f,"tpot":0.004987654321,"itl":{"count":63,"mean":0.00498,'
        '"minimum":0.00481,"maximum":0.00712,"p50":0.00497,"p90":0.00511,"p99":0.00702,'
        '"histogram":{"1533":4,"1534":21,"1535":33,"1536":4,"1570":1},"tokens":63},"tps":193.4,"memory_mb":548.25,'
        '"power_w":312.75,"energy_j":%(energy).6f,"start":%(start).9f,"batch":%(batch)d,"error":"",'
        '"batch_seconds":%(seconds).9f,"own_times":false}\n'
    )
    with path.open("w", buffering=1 << 20) as stream:
        for batch in range(count):
            latency = 0.33 + (batch * 2654435761 % 4096) / 4e5  # spread over 10 ms, and no drift
            stream.write(
                template % {
                    "latency": latency, "ttft": latency / 20, "energy": latency * 312.75, "start": batch * 0.34,
                    "batch": batch, "seconds": latency + 1e-4,
                }
            )  # fmt: skip


def _told(what: str, work: Callable[[], object]) -> None:
    began = time.perf_counter()
    work()
    print(f"{what} {(time.perf_counter() - began) * 1000:.0f} ms", end="; ")


def index_cold(folder: Path, requests: int) -> None:
    """The table for the first time: every line is read, and decoded whole, as none was kept with its shares."""
    from infertui.results.index import ResultQuery
    from infertui.runner.queries import open_table

    index = open_table(folder / "reports")
    _told("first page", lambda: index.page(ResultQuery(str(folder / "reports"))))


def index_warm(folder: Path, requests: int) -> None:
    """The table again: another process made its index."""
    from infertui.results.index import ResultQuery
    from infertui.runner.queries import open_table

    out = str(folder / "reports")
    index = open_table(folder / "reports")
    _told("first page", lambda: index.page(ResultQuery(out)))
    _told("next", lambda: index.page(ResultQuery(out, offset=200)))
    _told("last", lambda: index.page(ResultQuery(out, offset=99_900)))
    _told("sort", lambda: index.page(ResultQuery(out, sort="throughput")))
    _told("filter", lambda: index.page(ResultQuery(out, filter="llama batch_size>=4")))
    _told("figure", lambda: index.page(ResultQuery(out, filter="ttft<50ms valid:yes")))
    _told("both", lambda: index.page(ResultQuery(out, filter="qwen flag:drift", sort="latency")))
    _told("find", lambda: index.page(ResultQuery(out, find=LONG[0])))


def index_one_more(folder: Path, requests: int) -> None:
    """A run has ended: one line more."""
    from support.results import make_results

    from infertui.results.index import ResultQuery
    from infertui.results.runs import Store
    from infertui.runner.queries import open_table

    index = open_table(folder / "reports")
    index.page(ResultQuery(str(folder / "reports")))
    Store(folder / "reports").append(next(iter(make_results(1, seed=time.time_ns()))))
    _told("page with the new run", lambda: index.page(ResultQuery(str(folder / "reports"))))


def results_streamed(folder: Path, requests: int) -> None:
    """All results one after the other, decoded whole."""
    from infertui.results.runs import Store

    print(sum(1 for _ in Store(folder / "reports").each_result(warn=print)), end=" results; ")


def one_result(folder: Path, requests: int) -> None:
    """One result by its id, from the index file."""
    from infertui.results.runs import Store

    _told("found", lambda: Store(folder / "reports").result_of(LONG[1]))


def delete_one(folder: Path, requests: int) -> None:
    """One run taken out: the file is rewritten."""
    from infertui.results.results_file import remove_lines

    path = folder / "reports" / "results.jsonl"
    with path.open("rb") as stream:
        name = stream.readline().split(b'"')[3].decode()
    _told(f"{name} removed", lambda: remove_lines(path, frozenset({name})))


def details(folder: Path, requests: int) -> None:
    """The details page of a long run."""
    from infertui.results.details import read_details

    _told("read", lambda: read_details(folder / "reports" / LONG[0]))


def observations(folder: Path, requests: int) -> None:
    """The batches of a long run, for a comparison."""
    from infertui.results.observations import read_observations

    _told("read", lambda: read_observations(folder / "reports" / LONG[0]))


def recovery(folder: Path, requests: int) -> None:
    """A long run that was cut off: its batches from its lines, summed up and judged."""
    from infertui.config.schema import ValidityConfig
    from infertui.measure.records import RequestRecord
    from infertui.measure.summary import summarise
    from infertui.measure.validity import Circumstances, judge
    from infertui.results.jsonl import read_lines
    from infertui.runner.recovery import batches_of

    lines = read_lines(folder / "reports" / LONG[0] / "requests.jsonl", RequestRecord, warn=print)
    batches = batches_of(lines)
    _told("sum up", lambda: summarise(batches))
    _told("judge", lambda: judge(batches, Circumstances(64), ValidityConfig()))


def interval(folder: Path, requests: int) -> None:
    """The interval of the throughput over as many batches."""
    from infertui.measure.statistics import ratio_bounds

    _told("interval", lambda: ratio_bounds([64.0] * requests, [0.33 + n % 97 / 1e4 for n in range(requests)]))


def look(folder: Path, requests: int) -> None:
    """What the imports alone cost, to be taken off the rest."""
    from infertui.results.runs import Store  # noqa: F401
    from infertui.runner.queries import open_table  # noqa: F401

    with contextlib.redirect_stdout(io.StringIO()):
        print()


CASES: dict[str, Callable[[Path, int], None]] = {
    "imports alone": look,
    "table, first load": index_cold,
    "table, warm": index_warm,
    "table, one more run": index_one_more,
    "results one by one": results_streamed,
    "one result by id": one_result,
    "delete one run": delete_one,
    "details of a long run": details,
    "observations of a long run": observations,
    "recovery of a long run": recovery,
    "interval of a long run": interval,
}
COMMANDS = {
    "infertui results": ("results",),
    "infertui results FILTER": ("results", "engine=simulator", "valid=yes"),
    "infertui results --csv": ("results", "--csv"),
    "infertui results --json": ("results", "--json"),
    "infertui results --markdown": ("results", "--markdown"),
    "infertui compare, long runs": ("compare", "{a}", "{b}"),
    "infertui report, a long run": ("report", "{a}", "--out", "report"),
    "infertui cost, a long run": ("cost", "{a}"),
}


if __name__ == "__main__":
    main()
