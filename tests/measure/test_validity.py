from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from support.batches import batch, even_batch

from infertui.config.schema import ValidityConfig
from infertui.measure.records import BatchRecord
from infertui.measure.validity import DISTURBING_THROTTLES, Circumstances, Verdict, judge

TOKENS = 10
USUAL = ValidityConfig()
NEVER = ValidityConfig(
    max_drift=0, max_variation=0, min_iterations=0, max_others_cpu=0, max_swap_mib=0, max_clock_fall=0,
    max_client_share=0, throttling=False, foreign_processes=False, steady_warmup=False,
)  # fmt: skip
MIB = 2**20


def steady(count: int = 6) -> list[BatchRecord]:
    return [even_batch(1.0, tokens=TOKENS, index=index) for index in range(count)]


def lasting(*seconds: float) -> list[BatchRecord]:
    return [even_batch(length, tokens=TOKENS, index=index) for index, length in enumerate(seconds)]


def judged(batches: list[BatchRecord] | None = None, limits: ValidityConfig = USUAL, **seen: Any) -> Verdict:
    return judge(steady() if batches is None else batches, Circumstances(output_len=TOKENS, **seen), limits)


def test_an_undisturbed_run() -> None:
    verdict = judged(
        warmup_steady=True, throttles=("idle",), violation_s={"power": 0.0, "thermal": 0.0}, window_s=6.0,
        clock_fall=0.01, foreign_processes=(), swapped=0, host_busy=100.0, others_cpu=6.0,
    )  # fmt: skip
    assert verdict == Verdict()
    assert verdict.valid


def test_what_is_not_known_is_not_held_against_a_run() -> None:
    assert judged() == Verdict()


@pytest.mark.parametrize(
    ("seen", "reason", "mark"),
    [
        ({"throttles": ("hw-thermal", "idle")}, "the GPU was throttled: hw-thermal", "thermal"),
        (
            {"throttles": ("sw-thermal", "hw-slowdown"), "throttle_shares": {"sw-thermal": 0.31, "hw-slowdown": 0.0}},
            "the GPU was throttled: hw-slowdown, sw-thermal in 31 % of the samples",
            "thermal",
        ),
        (
            {"throttles": ("idle",), "violation_s": {"thermal": 1.23, "reliability": 9.0}, "window_s": 10.0},
            "the GPU was throttled: clocks held down for 1.2 s by thermal",
            "thermal",
        ),
        ({"throttles": ("hw-power-brake",)}, "the GPU was throttled: hw-power-brake", "throttle"),
        ({"clock_fall": 0.305}, "the GPU's clock fell by 30 % while measuring, by more than 15 %", "clocks"),
        ({"foreign_processes": ("python (7)", "x (8)")}, "another process used the GPU: python (7), x (8)", "foreign"),
        (
            {"lost_gpus": ("GPU 0 fell off the bus",)},
            "telemetry of the GPU was lost: GPU 0 fell off the bus",
            "gpu-lost",
        ),
        (
            {"swapped": 120 * MIB},
            "the host swapped 120 MiB in and out while measuring, more than 16",
            "swap",
        ),
        (
            {"host_busy": 99.6, "others_cpu": 47.3},
            "other processes used 47 % of the CPUs, more than 20 %, and none was left: they were 100 % busy",
            "host-busy",
        ),
    ],
)
def test_a_disturbance_makes_the_numbers_wrong(seen: dict[str, Any], reason: str, mark: str) -> None:
    verdict = judged(**seen)
    assert verdict == Verdict(invalid=(reason,), marks=(mark,), against=(mark,))
    assert not verdict.valid


@pytest.mark.parametrize("throttle", sorted(DISTURBING_THROTTLES))
def test_each_disturbing_throttle_counts(throttle: str) -> None:
    assert not judged(throttles=(throttle,)).valid


@pytest.mark.parametrize(
    "seen",
    [
        {"violation_s": {"thermal": 0.09}, "window_s": 10.0},  # under a hundredth of the window
        {"violation_s": {"reliability": 10.0, "board-limit": 10.0, "low-utilization": 10.0}, "window_s": 10.0},
        {"clock_fall": 0.15},
        {"swapped": 16 * MIB},
        {"host_busy": 100.0, "others_cpu": 20.0},
        {"host_busy": 89.0, "others_cpu": 80.0},  # nobody has to wait where CPUs are idle
        {"host_busy": 100.0},  # whose time it was is not known
    ],
)
def test_up_to_its_threshold_nothing_is_said(seen: dict[str, Any]) -> None:
    assert judged(**seen) == Verdict()


@pytest.mark.parametrize(
    ("seen", "note", "marks"),
    [
        ({"throttles": ("power-cap",)}, "the GPU ran at its power limit", ("power-cap",)),
        (
            {"throttles": ("power-cap",), "violation_s": {"power": 2.5}, "window_s": 10.0},
            "the GPU ran at its power limit for 2.5 of 10.0 s",
            ("power-cap",),
        ),
        ({"warmup_steady": False}, "warm-up was not steady when measuring began", ("unsteady",)),
        ({"stopped": "max_seconds"}, "stopped early: max_seconds", ()),
        ({"random_weights": True}, "random weights: the speed is the architecture's, the text means nothing", ()),
    ],
)
def test_what_a_reader_should_know_leaves_the_run_valid(
    seen: dict[str, Any], note: str, marks: tuple[str, ...]
) -> None:
    verdict = judged(**seen)
    assert verdict == Verdict(notes=(note,), marks=marks)
    assert verdict.valid


def test_a_clock_that_the_power_limit_moves_belongs_to_what_is_measured() -> None:
    verdict = judged(throttles=("power-cap",), clock_fall=0.2)
    assert verdict.valid
    assert verdict.notes[1] == "the GPU's clock fell by 20 % while measuring, as its power limit made it"
    assert verdict.marks == ("power-cap", "clocks")


def test_an_unsteady_warm_up_counts_where_the_run_went_on_moving() -> None:
    moving = lasting(1.0, 1.0, 1.0, 0.92, 0.92, 0.92)
    assert judged(moving, warmup_steady=False).invalid == ("warm-up was not steady when measuring began",)
    assert judged(lasting(1.0, 1.0, 1.0), warmup_steady=False).invalid, "whether it moved is not known"
    assert judged(moving, replace(USUAL, steady_warmup=False), warmup_steady=False).valid
    assert judged(steady(), warmup_steady=False).valid
    # 338, 303 | 294, 264 tok/s: a line from 335 to 264 misses them by (3, -8, 7, -2), its error over all is 15 of 71,
    # and Student's 99.5 % quantile with 2 degrees of freedom is 9.9.
    assert judged(lasting(1 / 338, 1 / 303, 1 / 294, 1 / 264), warmup_steady=False).valid, "that is noise"


def test_a_run_that_measured_its_own_measuring() -> None:
    """A batch of a second each: 60 ms in it are 6 %."""

    def taking(*milliseconds: int) -> list[BatchRecord]:
        return [replace(one, client_ns=part * 1_000_000) for one, part in zip(steady(3), milliseconds, strict=True)]

    verdict = judged(taking(60, 60, 60))
    assert verdict.invalid == ("infertui's own calls took at least 6 % of the time, more than 5 %",)
    (close,) = judged(taking(50, 50, 52)).invalid
    assert close == "infertui's own calls took at least 5.07 % of the time, more than 5 %"
    assert verdict.marks == ("client",)
    assert judged(taking(150, 0, 0)) == Verdict(), "5 % of all is not more than 5 %"
    assert judged(taking(600, 600, 600), ValidityConfig(max_client_share=0)).valid
    assert judged(taking(4, 4, 4), ValidityConfig(max_client_share=0.003)).marks == ("client",)
    assert judged(taking(995, 995, 995)).invalid[0].startswith("infertui's own calls took at least 99.5 % of the time")
    assert judged([*taking(600, 600, 600), even_batch(1.0, tokens=TOKENS)]).valid, "of one of them it is not known"


def test_nothing_measured() -> None:
    assert judged([]) == Verdict(invalid=("nothing was measured",), against=("",))


def test_too_few_batches() -> None:
    few = "too few samples: {}, fewer than 3"
    assert judged(steady(2)) == Verdict((few.format("2 measured batches"),), marks=("few",), against=("few",))
    assert judged(steady(1)).invalid == (few.format("1 measured batch"),)
    assert judged(steady(3)).valid
    assert judged([*steady(2), even_batch(1.0, error="it broke")]).marks == ("failures", "few")


def test_failed_batches() -> None:
    batches = [*steady(4), even_batch(1.0, error="it broke"), even_batch(1.0, error="again")]
    assert judged(batches).invalid == ("2 of 6 batches failed: it broke",)


def test_a_failed_batch_is_not_short_as_well() -> None:
    assert judged([*steady(4), even_batch(1.0, tokens=3, error="it broke")]).invalid == (
        "1 of 5 batches failed: it broke",
    )


def test_an_output_of_another_length() -> None:
    batches = [even_batch(0.7, tokens=7), *steady(5), even_batch(1.2, tokens=12)]
    verdict = judged(batches)
    assert verdict.invalid == (
        "output length not reached: 7 tokens where 10 were asked for",
        "output length exceeded: 12 tokens where 10 were asked for",
    )
    assert verdict.marks == ("short-output", "long-output")


def test_some_drift_and_spread_are_noted() -> None:
    drifting = lasting(1.0, 1.0, 1.0, 1.08, 1.08, 1.08)
    assert judged(drifting) == Verdict(
        notes=("throughput drifted by -7% from the first to the second half",), marks=("drift",)
    )
    scattered = lasting(1.0, 1.25, 1.0, 1.25, 1.25, 1.0, 1.25, 1.0)
    assert judged(scattered) == Verdict(notes=("throughput varied by 12% between iterations",), marks=("noisy",))


def test_more_of_it_makes_the_mean_meaningless() -> None:
    # 10 and 10/1.25 = 8 tok/s: the second half is 20 % slower, and nothing moved within the halves. Standard
    # deviation of three tens and three eights: sqrt(6/5) = 1.095, which is 12 % of 9.
    drifting = judged(lasting(1.0, 1.0, 1.0, 1.25, 1.25, 1.25))
    assert drifting.invalid == ("throughput drifted by -20% from the first to the second half, by more than 15 %",)
    assert drifting.notes == ("throughput varied by 12% between iterations",)
    # 10 and 5 tok/s by turns: the standard deviation of four of each is sqrt(50/7) = 2.67, which is 36 % of 7.5.
    scattered = judged(lasting(1.0, 2.0, 1.0, 2.0, 2.0, 1.0, 2.0, 1.0))
    assert scattered.invalid == ("throughput varied by 36% between iterations, by more than 15 %",)
    assert scattered.marks == ("noisy",)


def test_drift_within_the_noise_is_not_told() -> None:
    # Rates 10, 9, 8.5, 8: a line falls by 0.65 each time and misses them by 0.15, -0.2, -0.05 and 0.1; with 2 degrees
    # of freedom its error is sqrt(0.075 / 2 / 5) = 0.087, and 0.65 is less than the 14.1 of these that 1 % would need.
    narrow = replace(USUAL, max_drift=0.1)
    assert judged(lasting(10 / 10, 10 / 9, 10 / 8.5, 10 / 8), narrow) == Verdict()
    clear = judged(lasting(10 / 10, 10 / 9.9, 10 / 8.6, 10 / 8.5), narrow)
    assert clear.invalid == ("throughput drifted by -14% from the first to the second half, by more than 10 %",)


def test_small_movements_are_not_noted() -> None:
    assert judged(lasting(1.0, 1.01, 0.99, 1.03, 1.02, 1.04)) == Verdict()


def test_prompts_of_many_lengths_are_judged_by_their_decoding() -> None:
    """A prompt that is ten times as long takes its time before the first token: that is no noise."""
    second = 10**9

    def of(prompt_tokens: int, index: int, step: float = 0.1) -> BatchRecord:
        first = prompt_tokens * second // 100
        return batch([first + int(step * n * second) for n in range(TOKENS)], prompt_tokens=prompt_tokens, index=index)

    uneven = [of(length, index) for index, length in enumerate((10, 100, 10, 10, 100, 10))]
    assert judged(uneven) == Verdict()
    slower = [of(10, 0), of(100, 1), of(10, 2), of(10, 3, 0.2), of(100, 4, 0.2), of(10, 5, 0.2)]
    assert judged(slower).invalid == (
        "decode speed drifted by -50% from the first to the second half, by more than 15 %",
        "decode speed varied by 37% between iterations, by more than 15 %",
    )


def test_thresholds_are_the_configs() -> None:
    half = ValidityConfig(max_drift=0.03, max_variation=0.02)
    assert judged(lasting(1.0, 1.0, 1.0, 1.04, 1.04, 1.04), half).marks == ("drift", "noisy")
    assert judged(steady(4), ValidityConfig(min_iterations=5)).marks == ("few",)
    assert judged(swapped=2 * MIB, limits=ValidityConfig(max_swap_mib=1)).marks == ("swap",)
    assert judged(host_busy=95.0, others_cpu=9.0, limits=ValidityConfig(max_others_cpu=5)).marks == ("host-busy",)
    assert judged(clock_fall=0.06, limits=ValidityConfig(max_clock_fall=0.05)).marks == ("clocks",)


def test_a_threshold_of_nothing_is_never_crossed() -> None:
    wild = lasting(1.0, 1.5, 1.0, 9.0, 8.0, 20.0)
    verdict = judged(
        wild, NEVER, warmup_steady=False, throttles=("hw-thermal",), clock_fall=0.9, foreign_processes=("x (1)",),
        swapped=2**40, host_busy=100.0, others_cpu=100.0, violation_s={"thermal": 9.0}, window_s=10.0,
    )  # fmt: skip
    assert verdict.valid
    assert verdict.marks == ("thermal", "foreign", "unsteady", "drift", "noisy"), "what was seen is still told"


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
    assert [reason.split(":")[0].split(" by ")[0] for reason in verdict.invalid] == [
        "1 of 4 batches failed",
        "output length not reached",
        "the GPU was throttled",
        "another process used the GPU",
        "telemetry of the GPU was lost",
        "warm-up was not steady when measuring began",
        "throughput varied",
    ]
    assert [note.split(":")[0] for note in verdict.notes] == [
        "the GPU ran at its power limit",
        "stopped early",
        "random weights",
    ]
    assert verdict.marks == (
        "failures", "short-output", "throttle", "foreign", "gpu-lost", "unsteady", "noisy", "power-cap",
    )  # fmt: skip


@given(
    st.lists(st.builds(even_batch, st.sampled_from([0.0, 0.1, 1.0]), error=st.sampled_from(["", "it broke"]))),
    st.builds(
        Circumstances,
        output_len=st.sampled_from([1, TOKENS]),
        warmup_steady=st.none() | st.booleans(),
        throttles=st.none()
        | st.lists(st.sampled_from(["power-cap", "hw-thermal", "idle", "unknown-0x800"])).map(tuple),
        clock_fall=st.none() | st.floats(0, 1),
        foreign_processes=st.none() | st.lists(st.text()).map(tuple),
        lost_gpus=st.lists(st.text()).map(tuple),
        swapped=st.none() | st.integers(0, 2**45),
        host_busy=st.none() | st.floats(0, 100),
        others_cpu=st.none() | st.floats(0, 100),
        stopped=st.sampled_from(["", "max_seconds"]),
    ),
    st.builds(
        ValidityConfig, max_drift=st.sampled_from([0.0, 0.1]), max_variation=st.sampled_from([0.0, 0.15]),
        max_others_cpu=st.floats(0, 100), max_clock_fall=st.floats(0, 1), min_iterations=st.integers(0, 5),
    ),
)  # fmt: skip
def test_a_verdict_is_valid_exactly_without_a_reason_against(
    batches: list[BatchRecord], seen: Circumstances, limits: ValidityConfig
) -> None:
    verdict = judge(batches, seen, limits)
    assert verdict.valid == (not verdict.invalid)
    wrong = (
        not batches
        or any(record.error or seen.output_len != TOKENS for record in batches)
        or "hw-thermal" in (seen.throttles or ())
        or bool(seen.foreign_processes)
        or bool(seen.lost_gpus)
    )
    if wrong:
        assert not verdict.valid
    assert judge(batches, seen, NEVER).valid or len(judge(batches, seen, NEVER).invalid) <= len(verdict.invalid)


def test_a_request_knows_how_many_tokens_were_asked_of_it() -> None:
    """Of 10 in all, where a request does not say so: two were asked for 12 and 30, and came back with 12 and 25."""

    def asked(batch: BatchRecord, tokens: int) -> BatchRecord:
        requests = tuple(replace(request, asked_tokens=tokens) for request in batch.requests)
        return replace(batch, requests=requests)

    right, short = asked(even_batch(1.2, tokens=12), 12), asked(even_batch(2.5, tokens=25), 30)
    assert "short-output" not in judged([*steady(5), right]).marks
    assert "long-output" not in judged([*steady(5), right]).marks
    verdict = judged([*steady(5), right, short])
    assert "output length not reached: 25 tokens where 30 were asked for" in verdict.invalid
