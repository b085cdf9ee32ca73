"""Lines of requests.jsonl of every form there was, to whoever reads them. A kept file stays, and stays readable."""

import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from infertui.measure.itl import summarise_gaps
from infertui.measure.records import Request, RequestRecord, request_of, request_record
from infertui.report.series import read_batches
from infertui.results.details import read_details
from infertui.results.jsonl import read_lines
from infertui.results.observations import REQUESTS, read_observations
from infertui.runner.recovery import batches_of

FILES = sorted((Path(__file__).parent / "request_lines").iterdir())
BATCHES = {
    "1-without-stretches": [8, 8],
    "2-without-due": [2, 2, 2, 2],
    "3-without-servers": [2, 2, 2, 2],
    "4-without-last": [2, 2, 2, 2],
    "5-without-connect": [2, 2, 2, 2],
    "6-as-of-today": [2, 2, 2, 2],
}
"""Requests of each batch; the last batch of the files after the first failed."""


@pytest.fixture
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A run's folder with such a file."""
    shutil.copyfile(request.param, tmp_path / REQUESTS)
    return tmp_path


def raw(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_bytes().splitlines()]


def records(folder: Path) -> list[RequestRecord]:
    return list(read_lines(folder / REQUESTS, RequestRecord, warn=lambda text: pytest.fail(text)))


def test_there_are_lines_of_every_form() -> None:
    assert [file.stem for file in FILES] == sorted(BATCHES)
    newest = set(raw(FILES[-1])[0])
    assert newest == set(RequestRecord.__struct_fields__), "a new key needs a new kept file"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_no_key_of_a_kept_line_is_lost(file: Path) -> None:
    for line in file.read_bytes().splitlines():
        again = json.loads(msgspec.json.encode(msgspec.json.decode(line, type=RequestRecord)))
        for key, value in json.loads(line).items():
            if key == "itl" and value:
                assert {name: again[key][name] for name in value} == value
            else:
                assert again[key] == value


@pytest.mark.parametrize("folder", FILES, indirect=True, ids=lambda file: file.stem)
def test_everybody_reads_the_same_batches(folder: Path, request: pytest.FixtureRequest) -> None:
    file = next(file for file in FILES if file.stem in request.node.name)
    lines, sizes = raw(file), BATCHES[file.stem]
    groups = [lines[sum(sizes[:number]) : sum(sizes[: number + 1])] for number in range(len(sizes))]
    good = [group for group in groups if not group[0]["error"]]
    tokens = [sum(line["tokens"] for line in group) for group in good]
    latency = [sum(line["latency"] for line in group) / len(group) for group in good]

    batches = batches_of(records(folder))
    assert [len(batch.requests) for batch in batches] == sizes
    assert [batch.tokens for batch in batches if not batch.error] == tokens
    assert [bool(batch.error) for batch in batches] == [bool(group[0]["error"]) for group in groups]

    observations = read_observations(folder)
    assert [one.tokens for one in observations] == tokens
    assert [one.latency for one in observations] == pytest.approx(latency)

    points = read_details(folder).batches
    assert [point.start for point in points] == [group[0]["start"] for group in groups]
    assert [bool(point.error) for point in points] == [bool(group[0]["error"]) for group in groups]

    drawn = read_batches(folder)
    assert drawn.starts == tuple(group[0]["start"] for group in good)
    assert drawn.latencies == pytest.approx(latency)


def test_what_a_request_was_due_at_and_asked_for_comes_back() -> None:
    """A line of earlier versions was sent when it was due, and does not say what was asked for."""
    for file in FILES:
        told = [msgspec.json.decode(line, type=RequestRecord) for line in file.read_bytes().splitlines()]
        for batch in batches_of(told):
            for request in batch.requests:
                assert request.due_ns == request.sent_ns == batch.start_ns
                assert request.end_ns == batch.end_ns
                assert (request.asked_tokens is None) == (file.name < "3")
    first = msgspec.json.decode(FILES[-1].read_bytes().splitlines()[0], type=RequestRecord)
    late = msgspec.structs.replace(first, start=3.5, due=3.25)
    (batch,) = batches_of([late])
    (request,) = batch.requests
    assert request.sent_ns - request.due_ns == 250_000_000


def test_a_request_that_was_part_of_no_batch_stands_for_itself(tmp_path: Path) -> None:
    lines = [{**line, "batch": None, "start": float(number)} for number, line in enumerate(raw(FILES[-1])[:6])]
    (tmp_path / REQUESTS).write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert [one.tokens for one in read_observations(tmp_path)] == [line["tokens"] for line in lines]
    assert [point.start for point in read_details(tmp_path).batches] == [0, 1, 2, 3, 4, 5]
    assert batches_of(records(tmp_path)) == []


@pytest.mark.parametrize("key", ["start", "due", "ttft", "latency", "batch_seconds", "stretches"])
@pytest.mark.parametrize("seconds", [1e308, -1e308, 1e300])
def test_times_that_nothing_can_have_taken_take_no_other_batch_with_them(key: str, seconds: float) -> None:
    told = [msgspec.json.decode(line, type=RequestRecord) for line in FILES[-1].read_bytes().splitlines()]
    value = (seconds,) if key == "stretches" else seconds
    spoilt = [msgspec.structs.replace(told[0], **{key: value}), *told[1:]]
    assert batches_of(spoilt) == batches_of(told)[1:]


def test_a_request_of_an_endpoint_comes_back_as_it_was_but_for_its_text() -> None:
    s = 10**9
    gaps = summarise_gaps([2 * s, 3 * s, 5 * s], [1, 2, 1])
    told = Request(
        "hello", 7, 4, due_ns=0, sent_ns=s // 2, end_ns=6 * s, first_ns=2 * s, last_ns=5 * s, itl=gaps, first_byte_ns=s,
        asked_tokens=4, first_output_ns=3 * s, cached_tokens=3, reasoning_tokens=1, counted="server", local_tokens=5,
        server={"prefill": 0.25},
    )  # fmt: skip
    failed = Request("", 7, 1, 0, 0, s, first_ns=s, last_ns=s, error="it broke", error_kind="reset")
    for request in (told, failed):
        record = msgspec.json.decode(msgspec.json.encode(request_record(request, origin_ns=0)), type=RequestRecord)
        assert record.batch is None
        kept = msgspec.structs.replace(request, prompt="")
        assert request_of(record) == kept
