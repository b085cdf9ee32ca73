from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace
from support.batches import MILLISECOND, SECOND, batch, even_batch, stamps

from infertui.measure.records import BatchRecord, EngineMemory, RequestRecord, grouped, request_records, slim

MIB = 2**20


@st.composite
def measured(draw: st.DrawFn) -> BatchRecord:
    """Batches as a worker may have measured them, failed and empty ones as well."""
    start = draw(st.integers(0, 10**15))
    steps = [start + stamp for stamp in draw(stamps(max_size=60))]
    end = (steps[-1] if steps else start) + draw(st.integers(0, SECOND))
    sizes = st.integers(0, 1 << 40) | st.none()
    return batch(
        steps,
        start_ns=start,
        end_ns=end,
        tokens=[len(steps)] * draw(st.integers(0, 5)),
        memory=draw(st.builds(EngineMemory, sizes, sizes, sizes)),
        error=draw(st.sampled_from(["", "it broke"])),
    )


def records_of(
    record: BatchRecord, *, power_w: float | None = None, energy_j: float | None = None
) -> list[RequestRecord]:
    return request_records(record, origin_ns=record.start_ns, power_w=power_w, energy_j=energy_j)


@given(measured())
def test_latency_is_ttft_and_the_steps_after_it(record: BatchRecord) -> None:
    """E2E = TTFT + (n - 1) * TPOT, on the batch and on every request line of it."""
    lines: list[BatchRecord | RequestRecord] = [record, *records_of(record)]
    for line in lines:
        if isinstance(line, RequestRecord) and record.error:
            assert line.latency is None
            assert line.tps is None
        elif line.latency is None or line.ttft is None:
            assert record.first_ns is None
            assert {line.latency, line.ttft, line.tpot} == {None}
            assert line.itl is None
        elif line.itl is None:
            assert line.tpot is None
            assert line.latency == line.ttft
        else:
            assert line.tpot is not None
            assert line.latency == pytest.approx(line.ttft + line.itl.count * line.tpot, rel=1e-9, abs=1e-12)


@given(measured())
def test_a_batch_lasts_at_least_to_its_last_token(record: BatchRecord) -> None:
    if record.latency is not None and record.ttft is not None:
        assert 0 <= record.ttft <= record.latency <= record.seconds
    assert record.tokens == sum(part.tokens for part in record.requests)


@given(measured(), st.floats(0, 1e6) | st.none(), st.floats(0, 1e9) | st.none())
def test_request_lines_share_the_batch(record: BatchRecord, power: float | None, energy: float | None) -> None:
    lines = records_of(record, power_w=power, energy_j=energy)
    assert [line.prompt for line in lines] == [part.prompt for part in record.requests]
    assert [line.tokens for line in lines] == [part.tokens for part in record.requests]
    assert {line.error for line in lines} <= {record.error}
    assert {line.power_w for line in lines} <= {power}
    for line in lines:
        if energy is None:
            assert line.energy_j is None
        else:
            assert line.energy_j == pytest.approx(energy / len(lines))
        if line.latency:
            assert line.tps is not None
            assert line.tps * line.latency == pytest.approx(line.tokens)
        else:
            assert line.tps is None


def test_a_batch_in_figures() -> None:
    record = batch(
        [30 * MILLISECOND, 40 * MILLISECOND, 60 * MILLISECOND],
        start_ns=10 * MILLISECOND,
        end_ns=70 * MILLISECOND,
        tokens=[3, 3],
        prompt_tokens=7,
        index=4,
        memory=EngineMemory(allocated_peak=3 * MIB, reserved_peak=8 * MIB, resident_peak=99 * MIB),
    )
    assert (record.seconds, record.ttft, record.latency, record.tpot) == pytest.approx((0.06, 0.02, 0.05, 0.015))
    assert record.tokens == 6
    first, second = request_records(record, origin_ns=-990 * MILLISECOND, power_w=100.0, energy_j=6.0)
    assert (first.prompt, second.prompt) == ("prompt 0", "prompt 1")
    assert first.start == pytest.approx(1.0)
    assert first.tps == pytest.approx(60)
    assert (first.prompt_tokens, first.tokens, first.batch) == (7, 3, 4)
    assert (first.memory_mb, first.power_w, first.energy_j) == (3.0, 100.0, 3.0)


@pytest.mark.parametrize(
    ("memory", "shown"),
    [
        (EngineMemory(resident_peak=3 * MIB), 3.0),
        (EngineMemory(allocated_peak=0, resident_peak=3 * MIB), 0.0),
        (EngineMemory(reserved_peak=3 * MIB), None),
        (EngineMemory(), None),
    ],
)
def test_memory_of_a_request_is_the_allocators_or_the_process(memory: EngineMemory, shown: float | None) -> None:
    assert records_of(batch([1], memory=memory))[0].memory_mb == shown


def test_a_batch_without_tokens_has_no_times() -> None:
    record = batch([], start_ns=5, end_ns=5 + SECOND, tokens=[0, 0])
    assert record.seconds == 1.0
    for line in records_of(record):
        assert (line.latency, line.ttft, line.tpot, line.tps) == (None, None, None, None)


def test_a_batch_of_no_length_divides_nothing_by_zero() -> None:
    record = batch([5, 5, 5], start_ns=5)
    assert (record.seconds, record.ttft, record.latency, record.tpot) == (0, 0, 0, 0)
    assert records_of(record)[0].tps is None


@given(measured())
def test_records_survive_json(record: BatchRecord) -> None:
    assert msgspec.json.decode(msgspec.json.encode(record), type=BatchRecord) == record
    for line in records_of(record):
        assert msgspec.json.decode(msgspec.json.encode(line), type=RequestRecord) == line


def test_the_parts_of_a_batch_are_kept_once() -> None:
    record = msgspec.structs.replace(batch([0, 5], tokens=[2, 2], end_ns=12), stretches_ns=(5 * SECOND, 7 * SECOND))
    assert [line.stretches for line in records_of(record)] == [(5.0, 7.0), ()]


def test_request_lines_begin_with_the_six_plain_fields() -> None:
    line = msgspec.to_builtins(records_of(batch([1, 2]))[0])
    assert {"prompt", "latency", "tokens", "memory_mb", "power_w", "tps"} <= line.keys()


def test_what_is_kept_for_figures_has_no_texts_and_the_same_stamps() -> None:
    far = 10**15
    record = even_batch(0.5, size=3)
    request = replace(record.requests[0], due_ns=far, sent_ns=far + 7, first_ns=None, prompt="text")
    kept = slim(replace(record, requests=(request, *record.requests[1:])))
    assert [one.prompt for one in kept.requests] == ["", "", ""]
    assert kept.requests[0] == replace(request, prompt="")
    assert [replace(one, prompt="") for one in record.requests[1:]] == list(kept.requests[1:])
    # Through a pipe every stamp is a number of its own.
    apart = msgspec.json.decode(msgspec.json.encode(record), type=BatchRecord)
    assert apart.requests[0].end_ns is not apart.end_ns
    assert {id(one.end_ns) for one in slim(apart).requests} == {id(apart.end_ns)}


@given(st.lists(st.none() | st.integers(0, 2), max_size=12))
def test_lines_of_a_batch_are_taken_together_and_one_of_none_alone(batches: list[int | None]) -> None:
    class Line(Struct):
        batch: int | None

    groups = list(grouped(Line(batch) for batch in batches))
    assert [line.batch for group in groups for line in group] == batches
    for group in groups:
        assert len({line.batch for line in group}) == 1
        assert len(group) == 1 or group[0].batch is not None
    for before, after in pairwise(groups):
        assert before[0].batch is None or before[0].batch != after[0].batch


def test_a_request_line_tells_when_it_was_due_and_how_long_it_was_to_be() -> None:
    """Of one that was due a second before it could be sent, 2 s into the measuring, and answered over a connection."""
    record = even_batch(0.5, tokens=10)
    (sent,) = record.requests
    late = replace(
        sent, due_ns=sent.sent_ns - SECOND, first_byte_ns=sent.sent_ns + 3 * MILLISECOND,
        asked_tokens=12, asked_prompt_tokens=4,
    )  # fmt: skip
    (line,) = request_records(replace(record, requests=(late,)), origin_ns=-2 * SECOND, power_w=None, energy_j=None)
    assert (line.due, line.start, line.first_byte, line.end) == (1.0, 2.0, 2.003, 2.5)
    assert (line.asked_tokens, line.asked_prompt_tokens, line.ttft, line.latency) == (12, 4, 0.05, 0.5)
