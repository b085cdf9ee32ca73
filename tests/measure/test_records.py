import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.batches import MILLISECOND, SECOND, batch, stamps

from infertui.measure.records import BatchRecord, EngineMemory, RequestRecord, request_records

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
