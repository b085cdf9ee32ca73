"""`infertui export`: runs in the forms that other programs read."""

import contextlib
import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Literal

import typer

from infertui.cli.flags import FilterFlag
from infertui.cli.output import DataOut, say, warn

if TYPE_CHECKING:
    from infertui.results.result import Result
    from infertui.results.runs import Store

EPILOG = """[bold]Examples[/bold]

  infertui export --format csv -o runs.csv

  infertui export RUN --format vllm -o vllm-infqps-gpt2.json

  infertui export --filter engine=vllm --filter valid=yes --format six-field > requests.jsonl

RUN is a run's id, or its beginning where that is enough; without any all runs are meant. csv: a line a run. six-field:
a line of JSON a request, with prompt, latency, tokens, memory_mb, power_w and tps. vllm: what `vllm bench serve
--save-result --save-detailed` writes, one object a line where there are several runs. Runs that are invalid or imported
are exported as well: csv and vllm say it in the file, of six-field a warning does.
"""

Form = Literal["csv", "six-field", "vllm"]
_HELD = 1000


def export(
    runs: Annotated[list[str] | None, typer.Argument(metavar="[RUN]...", help="Ids of runs; else all.")] = None,
    form: Annotated[Form, typer.Option("--format", help="Which form.")] = "csv",
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="Where to; - is standard output.")
    ] = "-",
    source: Annotated[Path, typer.Option("--from", metavar="DIR", help="Where runs are kept.")] = Path("reports"),
    filters: FilterFlag = None,
) -> None:
    """Write runs as CSV, as six-field JSONL, or as the JSON of vllm bench serve."""
    from infertui.cli.reading.lookup import opened, runs_named
    from infertui.errors import UsageError
    from infertui.metrics.filter import matches, parse_arguments
    from infertui.text import clean

    wanted = parse_arguments(filters or [])
    store = opened(source)
    found = runs_named(store, runs) if runs else _all(store)
    chosen = (result for result in found if matches(result, wanted))
    first = next(chosen, None)
    if first is None:
        raise UsageError(
            f"no runs to export in {clean(str(source))}" + (" that match" if wanted else ""),
            remedy=f"`infertui results --out {clean(str(source))}` lists what is there.",
        )
    with _target(output) as stream:
        for line in _WRITERS[form](_doubted(first, chosen, form), store):
            stream.write(line)


def _all(store: "Store") -> "Iterator[Result]":
    return store.each_result(warn=warn)


def _doubted(first: "Result", rest: "Iterator[Result]", form: Form) -> "Iterator[Result]":
    """The runs, each told of where the form has no place to say what speaks against it."""
    from infertui.metrics.reads import caveats
    from infertui.text import clean

    def with_first() -> "Iterator[Result]":
        yield first
        yield from rest

    for result in with_first():
        against = [*caveats(result), *result.verdict.invalid]
        against += [f"it is {result.state}"] if result.state != "finished" else []
        if form == "six-field" and against:
            say(f"warning: {clean(result.id)}: {clean('; '.join(against))}", err=True)
        yield result


def _csv(results: "Iterator[Result]", store: "Store") -> Iterator[bytes]:
    from infertui.metrics.table import csv_columns, csv_header, csv_values
    from infertui.metrics.varying import Variation

    varying, held, chosen = Variation(), list["Result"](), set[str]()
    for result in results:
        varying.take(result)
        chosen.add(result.id)
        if len(chosen) <= _HELD:
            held.append(result)
    columns = csv_columns(varying.found())
    yield _line(list(csv_header(columns)))
    # Very many are read once more, rather than held.
    many = (one for one in store.each_result(warn=lambda _: None) if one.id in chosen)
    for result in held if len(chosen) <= _HELD else many:
        yield _line(csv_values(result, columns))


def _line(values: list[object]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(values)
    return text.getvalue().encode()


def _six_field(results: "Iterator[Result]", store: "Store") -> Iterator[bytes]:
    from infertui.formats.six_field import line_of
    from infertui.measure.records import RequestRecord
    from infertui.results.jsonl import read_lines
    from infertui.text import clean

    for result in results:
        lines = 0
        for record in read_lines(store.folder_of(result.id) / "requests.jsonl", RequestRecord, warn=warn):
            lines += 1
            yield line_of(record)
        if not lines:
            warn(f"{clean(result.id)} has no request lines: it adds nothing")


def _vllm(results: "Iterator[Result]", store: "Store") -> Iterator[bytes]:
    import msgspec

    from infertui.formats.export import document
    from infertui.measure.records import RequestRecord
    from infertui.results.jsonl import read_lines
    from infertui.results.observations import REQUESTS, requests_lost
    from infertui.text import clean

    for result in results:
        if requests_lost(store.folder_of(result.id), result):
            warn(f"{clean(result.id)}: {REQUESTS} is gone: no single request is exported")
        records = read_lines(store.folder_of(result.id) / "requests.jsonl", RequestRecord, warn=warn)
        yield msgspec.json.encode(document(result, records)) + b"\n"


_WRITERS = {"csv": _csv, "six-field": _six_field, "vllm": _vllm}


@contextlib.contextmanager
def _target(output: str) -> Iterator["IO[bytes] | DataOut"]:
    """Standard output, or a file that is put in place whole at the end: an older one survives a failure."""
    from infertui.errors import UsageError
    from infertui.regular_files import exists, is_file
    from infertui.text import clean

    if output == "-":
        yield DataOut()
        return
    path = Path(output)
    if not path.name or (exists(path) and not is_file(path)):
        raise UsageError(f"--output {clean(output)} is not a file")
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as stream:
            yield stream
        partial.replace(path)
    except OSError as error:
        raise UsageError(f"--output {clean(output)}: {error.strerror}") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
