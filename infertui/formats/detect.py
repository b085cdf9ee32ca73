"""Which program wrote a file, by what is in it; its name says nothing."""

from collections.abc import Callable, Iterable

from msgspec import Struct

from infertui.formats import (
    aiperf,
    guidellm,
    llama_bench,
    optimum,
    sister_forms,
    six_field,
    trtllm_bench,
    vllm_offline,
    vllm_serve,
)
from infertui.formats.imported_run import Finding, Given
from infertui.formats.plausible import believed
from infertui.formats.reader import MOST_BYTES, FormatError, JsonObject, SourceFile

MOST_RUNS = 10_000
"""Runs of one file."""


class Format(Struct, frozen=True):
    """A form that objects of JSON have."""

    name: str
    is_one: Callable[[dict[str, object]], bool]
    read: Callable[[Iterable[JsonObject], Given], list[Finding]]


FORMATS = (
    Format(vllm_serve.SGLANG, vllm_serve.is_sglang, lambda documents, _: vllm_serve.read_sglang(documents)),
    Format("vllm bench serve", vllm_serve.is_one, lambda documents, _: vllm_serve.read(documents)),
    Format("vllm bench throughput", vllm_offline.is_throughput, vllm_offline.read_throughput),
    Format("vllm bench latency", vllm_offline.is_latency, vllm_offline.read_latency),
    Format("trtllm-bench", trtllm_bench.is_one, lambda documents, _: trtllm_bench.read(documents)),
    Format("guidellm", guidellm.is_one, lambda documents, _: guidellm.read(documents)),
    Format("aiperf", aiperf.is_one, lambda documents, _: aiperf.read(documents)),
    Format(optimum.NAME, optimum.is_one, optimum.read),
)
NAMES = (six_field.NAME, llama_bench.NAME, *(form.name for form in FORMATS))
_REMEDY = f"What can be imported: {', '.join(NAMES)}."


class Read(Struct, frozen=True):
    """What a file is, and the runs in it."""

    form: str
    findings: tuple[Finding, ...]


def read(source: SourceFile, given: Given = Given()) -> Read:  # noqa: B008 (frozen)
    """The runs of a file. Raises FormatError with the place and the reason where there is anything wrong with it."""
    try:
        form, findings = _read(source, given)
    except FormatError:
        sister_forms.refuse_log(source)  # where the JSON begins further down, its first line is not what is wrong
        raise
    if not findings:
        source.refuse("", "holds no run")
    if len(findings) > MOST_RUNS:
        source.refuse("", f"holds {len(findings):,} runs, more than {MOST_RUNS:,}")
    return Read(form, tuple(believed(finding) for finding in findings))


def _read(source: SourceFile, given: Given) -> tuple[str, list[Finding]]:
    start = source.first_character()
    if not start:
        source.refuse("", "is empty")
    sister_forms.refuse_text(source)
    if start == "[":
        document = source.document()
        if isinstance(document, list) and document and isinstance(document[0], dict):
            if llama_bench.is_one(document[0]):
                return llama_bench.NAME, llama_bench.read(llama_bench.tests_of(source, document))
            tables = [JsonObject(one, f"$[{number}]", source.name) for number, one in enumerate(document)]
            return _by_form(source, tables, given)
        source.refuse("", "is a list of nothing that is known", _REMEDY)
    if start == "{":
        return _objects(source, given)
    return _table(source)


def _objects(source: SourceFile, given: Given) -> tuple[str, list[Finding]]:
    """One object, over however many lines, or one on each line."""
    number, line = next(source.lines(MOST_BYTES))
    try:
        first = source.decode(line, first_line=number)
    except FormatError:
        if source.size <= len(line):
            raise  # there is no more of it that could make it whole
        return _by_form(source, [JsonObject(source.document(), "$", source.name)], given)
    if isinstance(first, dict) and six_field.is_one(first):
        return six_field.NAME, six_field.read(source, given)
    documents = [(at, source.decode(text, first_line=at)) for at, text in _bounded(source)]
    if isinstance(first, dict) and llama_bench.is_one(first):
        tests = [llama_bench.read_test(source, one, f"line {at}") for at, one in documents]
        return llama_bench.NAME, llama_bench.read(tests)
    path = "$" if len(documents) == 1 else ""
    return _by_form(source, [JsonObject(one, path or f"line {at}", source.name) for at, one in documents], given)


def _bounded(source: SourceFile) -> Iterable[tuple[int, bytes]]:
    source.check_size()
    return source.lines(MOST_BYTES)


def _by_form(source: SourceFile, documents: list[JsonObject], given: Given) -> tuple[str, list[Finding]]:
    first = dict(documents[0].values)
    for form in FORMATS:
        if form.is_one(first):
            return form.name, form.read(documents, given)
    if llama_bench.is_one(first):
        return llama_bench.NAME, llama_bench.read([llama_bench.read_test(source, first, "$")])
    sister_forms.refuse_object(source, first)
    names = ", ".join(map(repr, list(first)[:6])) or "none"
    return source.refuse("", f"is of no known form; its keys are {names}", _REMEDY)


def _table(source: SourceFile) -> tuple[str, list[Finding]]:
    """A CSV, by its heading."""
    _, heading = next(source.lines())
    names = {name.strip().strip('"'): None for name in heading.decode(errors="replace").split(",")}
    if not llama_bench.is_one(dict(names)):
        source.refuse("line 1", "is neither JSON nor the heading of a CSV of llama-bench", _REMEDY)
    return llama_bench.NAME, llama_bench.read(llama_bench.csv_tests(source))
