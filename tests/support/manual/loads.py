"""A kept load on a server side by side with vLLM's own client on the same server, in turns."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import msgspec
from support.kept import REPORTS
from support.manual.markdown import table

from infertui.results.result import Result
from infertui.units import format_number

_CLIENTS = "vllm-bench"


def loads(folder: str) -> str:
    """A row a level; the rounds of each side stand one behind the other, in the order in which they were measured."""
    ours: dict[int, list[Result]] = defaultdict(list)
    for result in _results(folder):
        ours[result.own_config.load.concurrency].append(result)
    theirs: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for path in sorted((REPORTS / folder / _CLIENTS).glob("*.json")):
        told = msgspec.json.decode(path.read_bytes())
        theirs[told["max_concurrency"]].append(told)
    rows = []
    for level, runs in sorted(ours.items()):
        other = theirs.get(level, [])
        rows.append(
            (
                str(level),
                _several([_marked(run, format_number(run.summary.output_throughput or 0.0)) for run in runs]),
                _several([format_number(one["output_throughput"]) for one in other]),
                _several([_ms(run.summary.ttft.mean if run.summary.ttft else None) for run in runs]),
                _several([_ms(one["mean_ttft_ms"] / 1000) for one in other]),
                _several([_ms(run.summary.tpot.mean if run.summary.tpot else None) for run in runs]),
                _several([_ms(one["mean_tpot_ms"] / 1000) for one in other]),
                _several([_joules(run) for run in runs]),
            )
        )
    heads = ("in flight", "tok/s", "theirs", "TTFT, ms", "theirs", "TPOT, ms", "theirs", "J/token")
    return table(heads, rows)


def _marked(run: Result, text: str) -> str:
    return text if run.verdict.valid else f"{text} (not settled)"


def _joules(run: Result) -> str:
    joules = run.power.joules_per_token if run.power else None
    return "n/a" if joules is None else f"{joules:.3f}"


def _ms(seconds: float | None) -> str:
    return "n/a" if seconds is None else f"{seconds * 1000:.3g}"


def _several(texts: list[str]) -> str:
    return ", ".join(texts)


def _results(folder: str) -> Iterator[Result]:
    path = REPORTS / folder / "results.jsonl"
    for line in path.read_bytes().splitlines() if path.exists() else ():
        yield msgspec.json.decode(line, type=Result)
