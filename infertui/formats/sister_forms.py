"""Files of programs that infertui reads in another form, or not at all: refused by name, with what to give instead."""

import re
from collections.abc import Callable

from infertui.formats.reader import SourceFile

_HEAD_LINES, _HEAD_LINE = 40, 4096
_LOG_LINES = 10_000
_MARKED_UP = re.compile(r"<(!doctype|html|\?xml)\b", re.IGNORECASE)
_LOGGED = re.compile(
    r"\[?(\d{4}-\d\d-\d\d|\d\d:\d\d|(DEBUG|INFO|WARN(ING)?|ERROR|CRITICAL)\b)|\(.{1,40}?\) (INFO|WARNING)"
)
_OPENS = re.compile(rb"[\[{]\s*(\"|\{|\[|$)")

_GUIDELLM = (
    "Let guidellm write its JSON: --output kind=json,path=benchmarks.json (--output-path benchmarks.json before 0.7)."
)
_LLAMA = "Let llama-bench write -o json, jsonl or csv."
_AIPERF = "Give profile_export_aiperf.json (profile_export_genai_perf.json), which is beside it."
_VLLM = "Let it write JSON: --save-result."
_OPTIMUM = "Give benchmark.json or benchmark_report.json, which is beside it."


def refuse_text(source: SourceFile) -> None:
    """Raise FormatError for text of a form that is known and not read, by its first lines."""
    head = _head(source)
    first = head[0] if head else ""
    for what, remedy, holds in _TEXTS:
        if holds(first, head):
            source.refuse("line 1", f"is {what}", remedy)


def _head(source: SourceFile) -> list[str]:
    found: list[str] = []
    for _, line in source.lines():
        found.append(line[:_HEAD_LINE].decode(errors="replace").strip())
        if len(found) == _HEAD_LINES:
            break
    return found


def _any(head: list[str], *starts: str) -> bool:
    return any(line.startswith(starts) for line in head)


_TEXTS: tuple[tuple[str, str, Callable[[str, list[str]], bool]], ...] = (
    (
        "a page of HTML or XML, not the results as JSON",
        _GUIDELLM,
        lambda first, _: bool(_MARKED_UP.match(first)),
    ),
    (
        "a report of guidellm in YAML",
        _GUIDELLM,
        lambda first, head: bool(re.match(r"[A-Za-z_]+:( |$)|---", first))
        and _any(head, "benchmarks:", "- type_:", "type_:"),
    ),
    (
        "a table of guidellm in CSV",
        _GUIDELLM,
        lambda first, head: _is_table(first)
        and any(re.search(r"run info|run.?id|(requests|tokens).per.second|time.to.first.token", line.lower())
                for line in head[:3])
        and "metric" not in first.lower().split(",")[0],
    ),
    (
        "a table of llama-bench in Markdown",
        _LLAMA,
        lambda first, head: first.startswith("|") and "t/s" in " ".join(head[:4]),
    ),
    (
        "what llama-bench writes for SQLite",
        _LLAMA,
        lambda first, head: _any(head, "CREATE TABLE", "INSERT INTO") and "build_commit" in " ".join(head),
    ),
    (
        "a table of aiperf or genai-perf in CSV",
        _AIPERF,
        lambda first, _: re.match(r'"?metric"?,', first, re.IGNORECASE) is not None,
    ),
    (
        "a table of optimum-benchmark in CSV",
        _OPTIMUM,
        lambda first, _: _is_table(first)
        and re.search(r"(prefill|decode|generate)\.(latency|throughput)", first) is not None,
    ),
    (
        "what a benchmark of serving printed, not its JSON",
        _VLLM,
        lambda _, head: any("Serving Benchmark Result" in line for line in head),
    ),
    (
        "what trtllm-bench printed, not its JSON",
        "Let trtllm-bench write it: --report_json FILE.",
        lambda _, head: any("PERFORMANCE OVERVIEW" in line for line in head),
    ),
)  # fmt: skip


def _is_table(first: str) -> bool:
    return first.count(",") >= 3 and not first.startswith(("{", "["))


def refuse_log(source: SourceFile) -> None:
    """Raise FormatError where lines of a log stand before the JSON: it says where that begins."""
    for number, (at, line) in enumerate(source.lines()):
        if number == _LOG_LINES:
            return
        text = line[:_HEAD_LINE].decode(errors="replace")
        if _OPENS.match(line.rstrip()) and not _LOGGED.match(text):
            if number:
                source.refuse(
                    "", f"has lines of a log before the JSON, which begins at line {at}", f"Give it from line {at} on."
                )
            return
        if not number and text.startswith(("{", "[")) and not _LOGGED.match(text):
            return


_OBJECTS: tuple[tuple[str, str, Callable[[dict[str, object]], bool]], ...] = (
    (
        "single requests of aiperf",
        _AIPERF,
        lambda first: isinstance(first.get("metadata"), dict) and isinstance(first.get("metrics"), dict)
        and "scenario" not in first,
    ),
    (
        "the requests of perf_analyzer or genai-perf, as they were recorded",
        _AIPERF,
        lambda first: isinstance(first.get("experiments"), list),
    ),
    (
        "what vllm bench writes for PyTorch's dashboard",
        "Give the file beside it that does not end in .pytorch.json.",
        lambda first: isinstance(first.get("benchmark"), dict) and isinstance(first.get("metric"), dict),
    ),
    (
        "a report of inference-benchmarker",
        "Its form is not read.",
        lambda first: isinstance(first.get("results"), list) and isinstance(first.get("config"), dict)
        and "token_throughput_secs" in str(first["results"])[:100_000],
    ),
    (
        "a report of inference-perf",
        "Its form is not read.",
        lambda first: "load_summary" in first and "successes" in first,
    ),
    (
        "a benchmark report of llm-d",
        "Give the file of the program that it drove, such as guidellm's JSON.",
        lambda first: "scenario" in first and "metrics" in first,
    ),
    (
        "a summary of LLMPerf",
        "Its form is not read.",
        lambda first: any(str(name).startswith("results_ttft") for name in first),
    ),
)  # fmt: skip


def refuse_object(source: SourceFile, first: dict[str, object]) -> None:
    """Raise FormatError for an object of a form that is known and not read."""
    for what, remedy, holds in _OBJECTS:
        if holds(first):
            source.refuse("", f"holds {what}", remedy)
