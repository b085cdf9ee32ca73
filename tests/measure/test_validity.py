from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.batches import even_batch

from infertui.measure.records import BatchRecord
from infertui.measure.validity import DISTURBING_THROTTLES, Circumstances, Verdict, judge

TOKENS = 10


def steady(count: int = 6) -> list[BatchRecord]:
    return [even_batch(1.0, tokens=TOKENS, index=index) for index in range(count)]


def judged(batches: list[BatchRecord] | None = None, **seen: Any) -> Verdict:
    return judge(steady() if batches is None else batches, Circumstances(output_len=TOKENS, **seen))


def test_an_undisturbed_run() -> None:
    verdict = judged(warmup_steady=True, throttles=("idle",), foreign_processes=())
    assert verdict == Verdict()
    assert verdict.valid


def test_what_is_not_known_is_not_held_against_a_run() -> None:
    assert judged() == Verdict()


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        ({"throttles": ("hw-thermal", "idle")}, "the GPU was throttled: hw-thermal"),
        ({"throttles": ("sw-thermal", "hw-slowdown")}, "the GPU was throttled: hw-slowdown, sw-thermal"),
        ({"foreign_processes": ("python (7)", "x (8)")}, "another process used the GPU: python (7), x (8)"),
        ({"lost_gpus": ("GPU 0 fell off the bus",)}, "telemetry of the GPU was lost: GPU 0 fell off the bus"),
    ],
)
def test_a_disturbance_makes_the_numbers_wrong(seen: dict[str, Any], reason: str) -> None:
    verdict = judged(**seen)
    assert verdict == Verdict(invalid=(reason,))
    assert not verdict.valid


@pytest.mark.parametrize("throttle", sorted(DISTURBING_THROTTLES))
def test_each_disturbing_throttle_counts(throttle: str) -> None:
    assert not judged(throttles=(throttle,)).valid


@pytest.mark.parametrize(
    ("seen", "note"),
    [
        ({"throttles": ("power-cap",)}, "the GPU ran at its power limit"),
        ({"warmup_steady": False}, "warm-up was not steady when measuring began"),
        ({"stopped": "max_seconds"}, "stopped early: max_seconds"),
        ({"random_weights": True}, "random weights: the speed is the architecture's, the text means nothing"),
    ],
)
def test_what_a_reader_should_know_leaves_the_run_valid(seen: dict[str, Any], note: str) -> None:
    verdict = judged(**seen)
    assert verdict == Verdict(notes=(note,))
    assert verdict.valid


def test_nothing_measured() -> None:
    assert judged([]) == Verdict(invalid=("nothing was measured",))


def test_failed_batches() -> None:
    batches = [*steady(4), even_batch(1.0, error="it broke"), even_batch(1.0, error="again")]
    assert judged(batches).invalid == ("2 of 6 batches failed: it broke",)


def test_a_failed_batch_is_not_short_as_well() -> None:
    assert judged([*steady(4), even_batch(1.0, tokens=3, error="it broke")]).invalid == (
        "1 of 5 batches failed: it broke",
    )


def test_an_output_of_another_length() -> None:
    batches = [even_batch(0.7, tokens=7), *steady(5), even_batch(1.2, tokens=12)]
    assert judged(batches).invalid == (
        "output length not reached: 7 tokens where 10 were asked for",
        "output length exceeded: 12 tokens where 10 were asked for",
    )


def test_drift_and_spread_are_noted() -> None:
    drifting = [even_batch(seconds) for seconds in (1.0, 1.0, 1.0, 1.08, 1.08, 1.08)]
    assert judged(drifting).notes == ("throughput drifted by -7% from the first to the second half",)
    scattered = [even_batch(seconds) for seconds in (1.0, 1.5, 1.0, 1.5, 1.5, 1.0, 1.5, 1.0)]
    assert [note.split(" by ")[0] for note in judged(scattered).notes] == ["throughput varied"]
    assert judged(scattered).valid


def test_small_movements_are_not_noted() -> None:
    assert judged([even_batch(seconds) for seconds in (1.0, 1.01, 0.99, 1.03, 1.02, 1.04)]).notes == ()


def test_everything_at_once() -> None:
    verdict = judged(
        [even_batch(1.0), even_batch(1.0, tokens=4), even_batch(0.5, error="it broke"), even_batch(2.0)],
        warmup_steady=False,
        throttles=("power-cap", "hw-power-brake"),
        foreign_processes=("x (1)",),
        lost_gpus=("gone",),
        stopped="max_seconds",
        random_weights=True,
    )
    assert [reason.split(":")[0] for reason in verdict.invalid] == [
        "1 of 4 batches failed",
        "output length not reached",
        "the GPU was throttled",
        "another process used the GPU",
        "telemetry of the GPU was lost",
    ]
    assert [note.split(" by ")[0] for note in verdict.notes] == [
        "the GPU ran at its power limit",
        "warm-up was not steady when measuring began",
        "throughput varied",
        "stopped early: max_seconds",
        "random weights: the speed is the architecture's, the text means nothing",
    ]


@given(
    st.lists(st.builds(even_batch, st.sampled_from([0.0, 0.1, 1.0]), error=st.sampled_from(["", "it broke"]))),
    st.builds(
        Circumstances,
        output_len=st.sampled_from([1, TOKENS]),
        warmup_steady=st.none() | st.booleans(),
        throttles=st.none()
        | st.lists(st.sampled_from(["power-cap", "hw-thermal", "idle", "unknown-0x800"])).map(tuple),
        foreign_processes=st.none() | st.lists(st.text()).map(tuple),
        lost_gpus=st.lists(st.text()).map(tuple),
        stopped=st.sampled_from(["", "max_seconds"]),
    ),
)
def test_a_verdict_is_valid_exactly_without_a_reason_against(batches: list[BatchRecord], seen: Circumstances) -> None:
    verdict = judge(batches, seen)
    wrong = (
        not batches
        or any(record.error or seen.output_len != TOKENS for record in batches)
        or "hw-thermal" in (seen.throttles or ())
        or bool(seen.foreign_processes)
        or bool(seen.lost_gpus)
    )
    assert verdict.valid == (not wrong)
