"""Shares of the limits, and what held runs back: over kept results, and over changed ones."""

from functools import cache
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from support.structs import values_of

from infertui.analysis.limits import derive, limit_line, limit_lines, limits_of, shipped_shape
from infertui.analysis.summary_text import figures
from infertui.config.engines.registry import SPECS
from infertui.measure.roofline import DevicePeaks, Limits
from infertui.measure.summary import Summary
from infertui.models.resolve import resolve
from infertui.results.result import DeviceFigures, Result
from infertui.targets.engine.base import EffectiveSettings, Loaded
from infertui.telemetry.readings import HostFacts

REPORTS = Path(__file__).parents[2] / "reports"
H200 = DevicePeaks(
    "NVIDIA H200", "580", copy_bandwidth=4.0e12, matrix_rates={"bfloat16": 7.0e14}, measured="2026-11-20T12:00:00+00:00"
)


@cache
def kept() -> dict[str, Result]:
    """Results of real runs on an H200, by the end of their ids."""
    lines = [
        line
        for folder in ("h200", "h200-engines")
        for line in (REPORTS / folder / "results.jsonl").read_bytes().splitlines()
    ]
    return {result.id[-4:]: result for result in (msgspec.json.decode(line, type=Result) for line in lines)}


TINY_FUSED, LLAMA_FUSED, TINY_EAGER, LLAMA_INT8 = "d54f", "3c24", "2290", "d119"


def found(result: Result) -> Limits:
    limits = limits_of(result)
    assert limits is not None
    return limits


def with_device(result: Result, **changes: object) -> Result:
    assert result.device is not None
    return replace(result, device=replace(result.device, **changes))


def with_effective(result: Result, **settings: str) -> Result:
    assert result.effective is not None
    return replace(result, effective=replace(result.effective, settings={**result.effective.settings, **settings}))


def test_mbu_of_kept_results() -> None:
    """The figures that were told with these results: 62 % and 86 % of what a copy reached."""
    tiny, llama, int8 = (found(kept()[name]) for name in (TINY_FUSED, LLAMA_FUSED, LLAMA_INT8))
    assert tiny.mbu == pytest.approx(0.622, abs=1e-3)
    assert llama.mbu == pytest.approx(0.857, abs=1e-3)
    # 9,088,081,920 - 1,050,673,152 + 131,072 x 200 = 8,063,623,168 bytes in 3.318 ms: 2.430 TB/s of 4.27.
    assert int8.mbu == pytest.approx(0.569, abs=1e-3)
    assert (tiny.bandwidth, tiny.bandwidth_source) == (4.27e12, "measured")
    assert tiny.decode_limit == pytest.approx(2059, abs=1)


def test_mfu_of_kept_results() -> None:
    # TinyLlama, 100 tokens: 2 x 968,884,224 x 100 + 4 x 22 x 2048 x 100^2 / 2 + 2 x 32000 x 2048 = 194,809,036,800
    tiny = found(kept()[TINY_FUSED])
    assert tiny.prefill_operations == 193_776_844_800 + 901_120_000 + 131_072_000
    # in 4.36 ms: 44.7 TFLOP/s of 989.5
    assert (tiny.matrix_rate, tiny.matrix_source, tiny.matrix_format) == (9.895e14, "datasheet", "bfloat16")
    assert tiny.mfu == pytest.approx(194_809_036_800 / 4.36e-3 / 9.895e14, rel=2e-3)
    # int8 weights are multiplied in bfloat16
    assert found(kept()[LLAMA_INT8]).matrix_format == "bfloat16"


def test_a_calibrated_device_goes_before_the_table() -> None:
    limits = found(replace(kept()[TINY_FUSED], ceilings=H200))
    assert (limits.bandwidth_source, limits.matrix_source) == ("calibrated", "calibrated")
    assert limits.mbu == pytest.approx(0.622 * 4.27 / 4.0, abs=2e-3)
    without = found(replace(kept()[TINY_FUSED], ceilings=replace(H200, matrix_rates={})))
    assert (without.bandwidth_source, without.matrix_source) == ("calibrated", "datasheet")


def test_a_disturbed_calibration_is_told_with_the_shares() -> None:
    result = replace(kept()[TINY_FUSED], ceilings=replace(H200, disturbed=("another\x1b[31m process",)))
    told = dict(limit_lines(result))
    assert "another" in told["ceilings"]
    assert "\x1b" not in told["ceilings"]


EXPECTED = {
    # Eager and static decoding: the GPU runs for a quarter of the time, and one CPU all of it.
    "launch overhead": ["2c3b", "a459", "86ab", "6cbd", "27a6", "d1a7", "3dc7", "2290", "f421", "162a", "3040", "07b6",
                        "1113", "44e0", "e544"],
    # Large weights, fused or compiled steps.
    "memory bandwidth": ["d54f", "3c24", "c412", "6a64", "d119"],
    # Most layers on the CPU.
    "host": ["1d73", "a8e8", "6345", "9004", "1959"],
    # Captured steps of many small kernels: the GPU is busy all the time, and reads at a tenth to half of its bandwidth.
    "kernel efficiency": ["1ccb", "c95a", "6312", "576f", "e85a", "cbc0", "8a65", "19ac", "26dc", "08ee", "e792",
                          "1ce0", "a2ab", "67ef", "603b", "3f51"],
    # A CPU without ceilings; one layer of 23 on the CPU, and the GPU busy for two thirds of the time.
    "unknown": ["0e60", "8b1f"],
}  # fmt: skip


@pytest.mark.parametrize("bound", EXPECTED)
def test_what_bounds_the_kept_results(bound: str) -> None:
    verdicts = {name: found(kept()[name]).bound for name in EXPECTED[bound]}
    assert verdicts == dict.fromkeys(EXPECTED[bound], bound)


def test_every_kept_result_is_judged() -> None:
    for result in kept().values():
        limits = found(result)
        assert limits.why, result.id
        assert limits.next_step, result.id
        assert limits.mbu is None or 0 < limits.mbu < 1, result.id
        assert limits.mfu is None or 0 < limits.mfu < 1, result.id


def test_an_eager_run_is_told_what_to_try() -> None:
    limits = found(kept()[TINY_EAGER])
    assert "GPU busy 18 % of the time" in limits.why
    assert "1.0 of 16 CPUs busy, as one thread keeps it" in limits.why
    assert "mode=cudagraph" in limits.next_step
    assert "batch_size" in limits.next_step


def test_a_quantized_run_is_not_told_to_quantize() -> None:
    assert "quantization" in found(kept()[LLAMA_FUSED]).next_step
    assert "quantization" not in found(kept()[LLAMA_INT8]).next_step


def test_a_run_bound_by_its_kv_cache_is_told_so() -> None:
    result = kept()[LLAMA_FUSED]
    assert result.loaded is not None
    heavy = replace(result, loaded=replace(result.loaded, kv_token_bytes=131_072 * 600, weight_bytes=1_060_000_000))
    assert "KV cache" in found(heavy).next_step


def test_a_faster_prefill_is_bound_by_arithmetic() -> None:
    """The 8B model with 32 prompts, where nearly all of the time is prefill, on a GPU with half of the matrix rate."""
    result = kept()["6a64"]
    summary = result.summary
    assert summary.ttft is not None and summary.ttft.mean is not None  # noqa: PT018
    assert summary.latency is not None
    latency = replace(summary.latency, mean=1.2 * summary.ttft.mean)
    slow = replace(H200, matrix_rates={"bfloat16": 5e14})
    limits = found(replace(result, summary=replace(summary, latency=latency), ceilings=slow))
    assert limits.bound == "compute"
    assert limits.why.startswith("prefill is most of the time")
    assert limits.mfu is not None
    assert limits.mfu > 0.5


def test_a_graph_that_waits_is_bound_by_the_host() -> None:
    limits = found(with_device(kept()["6312"], utilization_mean=30.0))
    assert limits.bound == "host"
    assert "busy 30 %" in limits.why


def test_a_host_without_time_to_spare_is_the_bound() -> None:
    limits = found(with_device(kept()[TINY_EAGER], cpu_mean=97.0))
    assert limits.bound == "host"
    assert "every CPU" in limits.why


def test_preempted_sequences_mean_the_kv_cache_was_full() -> None:
    result = kept()[TINY_FUSED]
    assert result.effective is not None
    full = replace(result, effective=replace(result.effective, counters={"preemptions": 7}))
    limits = found(full)
    assert limits.bound == "KV capacity"
    assert limits.why.startswith("7 sequences")


def test_too_few_samples_tell_nothing_of_the_gpu() -> None:
    limits = found(with_device(kept()[TINY_EAGER], samples=2))
    assert limits.bound == "unknown"
    assert "not known" in limits.why


def test_a_share_beyond_the_ceiling_is_not_believed() -> None:
    limits = found(replace(kept()[LLAMA_FUSED], ceilings=replace(H200, copy_bandwidth=2e12)))
    assert limits.mbu is not None
    assert limits.mbu > 1.1
    assert limits.bound == "unknown"
    assert "more than the ceiling" in limits.why


def test_with_speculation_there_is_no_mbu() -> None:
    limits = found(with_effective(kept()[TINY_FUSED], speculation="draft-model"))
    assert limits.mbu is None
    assert "speculation" in limits.reasons["mbu"]
    assert dict(limit_lines(with_effective(kept()[TINY_FUSED], speculation="draft-model")))["MBU"].startswith("n/a")


def test_over_two_gpus_the_ceilings_are_of_both() -> None:
    result = with_effective(kept()[LLAMA_FUSED], tensor_parallel="2")
    assert result.effective is not None
    assert result.loaded is not None
    # Each holds half of the matrices, and the whole table of embeddings.
    table, whole = result.loaded.lookup_bytes or 0, result.loaded.weight_bytes or 0
    each = (whole - table) // 2 + table
    facts = {**result.effective.facts, "weight_bytes_per_rank": f"{each}, {each}"}
    divided = replace(
        result,
        effective=replace(result.effective, facts=facts),
        loaded=replace(result.loaded, weight_bytes=each),
    )
    one, two = found(kept()[LLAMA_FUSED]), found(divided)
    assert one.mbu is not None
    assert two.mbu == pytest.approx(one.mbu / 2)
    assert two.bandwidth == 2 * 4.27e12
    assert one.mfu is not None
    assert two.mfu == pytest.approx(one.mfu / 2)
    untold = found(replace(divided, effective=replace(result.effective, facts={})))
    assert untold.mbu is None


def test_a_mixture_of_experts_reads_what_its_tokens_pass_through(tmp_path: Path) -> None:
    shape = shipped_shape("synthetic:tinyllama-1.1b")
    assert shape is not None
    sparse = replace(shape, experts=8, active_experts=2, active_parameters=shape.parameters // 2)
    whole = derive(kept()[TINY_FUSED], shape=shape)
    part = derive(kept()[TINY_FUSED], shape=sparse)
    assert whole is not None
    assert part is not None
    assert whole.step_weights is not None
    assert part.step_weights == pytest.approx(whole.step_weights / 2)


def test_llama_cpp_weights_by_their_blocks() -> None:
    # 34 bytes for 32 weights, all alike: of 1,169,072,128 bytes less 32000 x 2048 x 34 / 32 = 69,632,000 looked up in.
    limits = found(kept()["603b"])
    assert limits.step_weights == pytest.approx(1_169_072_128 - 69_632_000)
    assert limits.step_kv == 22_528 * 200
    assert limits.mfu is None
    assert "llama.cpp" in limits.reasons["mfu"]


def test_layers_on_the_cpu_leave_no_mbu() -> None:
    limits = found(kept()["a8e8"])
    assert limits.mbu is None
    assert limits.why.startswith("8 of 23 layers are computed by the CPU")
    assert "n_gpu_layers" in limits.next_step


def test_a_device_that_nobody_knows() -> None:
    result = kept()[TINY_FUSED]
    assert result.loaded is not None
    limits = found(replace(result, loaded=replace(result.loaded, device_name="NVIDIA GeForce RTX 4090 Laptop GPU")))
    assert limits.mbu is None
    assert limits.mfu is None
    assert "infertui calibrate" in limits.reasons["mbu"]
    assert limits.next_step == "infertui calibrate --device cuda:0"


def test_a_calibrated_cpu() -> None:
    """GPT-2 in float32 on 16 threads: (497,759,232 + 73,728 x 59) bytes a step of 7.916 ms are 63.4 GB/s."""
    cpu = DevicePeaks("CPU", "", 1.0e11, {"float32": 2e12}, "2026-11-20T12:00:00+00:00", threads=16)
    limits = found(replace(kept()["0e60"], ceilings=cpu))
    assert limits.mbu == pytest.approx((497_759_232 + 2 * 12 * 768 * 4 * 59) / 7.916e-3 / 1e11, rel=1e-3)
    assert limits.bound == "memory bandwidth"
    assert "device" not in limits.why


def test_nothing_is_said_of_the_simulator_nor_of_other_programs_files() -> None:
    result = kept()[TINY_FUSED]
    assert result.loaded is not None
    assert limits_of(replace(result, loaded=replace(result.loaded, engine="simulator"))) is None
    assert limits_of(replace(result, imported="results.json")) is None
    assert limits_of(replace(result, loaded=None)) is None
    assert limit_line(replace(result, loaded=None)) == ""


@pytest.mark.parametrize("share", [0.5, 0.62, 1.0])
def test_a_run_that_measured_its_own_measuring_is_told_so_first(share: float) -> None:
    result = kept()[LLAMA_FUSED]
    limits = found(replace(result, summary=replace(result.summary, client_share=share)))
    assert limits.bound == "client"
    told = f"{share:.0%}".replace("%", " %")
    assert limits.why == f"infertui's own calls between the steps took at least {told} of the time"
    assert limits.next_step
    assert limits.mbu == found(result).mbu, "what it read is known nevertheless"


@pytest.mark.parametrize("share", [None, 0.0, 0.01, 0.4999, 1.5, -1.0])
def test_the_order_is_as_ever_where_measuring_took_less(share: float | None) -> None:
    result = kept()[LLAMA_FUSED]
    assert found(replace(result, summary=replace(result.summary, client_share=share))) == found(result)


def test_of_the_simulator_it_is_told_that_measuring_took_the_time() -> None:
    result = kept()[TINY_FUSED]
    assert result.loaded is not None
    simulated = replace(result, loaded=replace(result.loaded, engine="simulator"))
    busy = found(replace(simulated, summary=replace(result.summary, client_share=0.7)))
    assert (busy.bound, busy.mbu, busy.mfu, busy.step_s) == ("client", None, None, None)
    assert limits_of(replace(simulated, summary=replace(result.summary, client_share=0.3))) is None


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (3.14e-4, "at least 0.031 % of the time"), (0.0251, "at least 2.5 % of the time"),
        (0.237, "at least 24 % of the time"), (0.999, "at least 100 % of the time"),
        (9e-6, "below 0.001 % of the time"), (0.0, "below 0.001 % of the time"),
    ],
)  # fmt: skip
def test_what_measuring_cost_is_a_figure(share: float, text: str) -> None:
    result = kept()[TINY_FUSED]
    assert "harness overhead" not in dict(figures(result)), "it was kept before that was measured"
    for brief in (True, False):
        rows = dict(figures(replace(result, summary=replace(result.summary, client_share=share)), brief=brief))
        assert rows["harness overhead"] == text


@pytest.mark.parametrize("share", [-1.0, 1.5, 1e300])
def test_a_share_that_cannot_be_is_not_shown(share: float) -> None:
    result = kept()[TINY_FUSED]
    assert "harness overhead" not in dict(figures(replace(result, summary=replace(result.summary, client_share=share))))


def test_limits_that_were_kept_are_not_computed_again() -> None:
    said = Limits(mbu=0.5, bound="client", why="because")
    assert limits_of(replace(kept()[TINY_FUSED], limits=said)) is said


def test_a_model_that_does_not_ship_has_no_shape_of_its_own() -> None:
    assert shipped_shape("openai-community/gpt2") is None
    assert shipped_shape("synthetic:/etc/passwd") is None
    assert shipped_shape("synthetic:gpt2-124m") == resolve("synthetic:gpt2-124m").shape


def test_hostile_text_is_cleaned() -> None:
    result = with_effective(with_device(kept()[TINY_EAGER]), mode="eager\x1b[2J")
    assert all("\x1b" not in text for _, text in limit_lines(result))
    assert "\x1b" not in limit_line(result)


def test_figures_show_the_limits_in_rows_or_in_one_line() -> None:
    rows = dict(figures(kept()[TINY_FUSED]))
    assert rows["MBU"].startswith("62.2% of 4.27 TB/s (measured) in decode")
    assert rows["MFU"].startswith("at least 4.5%")
    assert rows["bound by"].startswith("memory bandwidth")
    assert rows["next"]
    brief = dict(figures(kept()[TINY_FUSED], brief=True))
    assert brief["roofline"].startswith("MBU 62.2%  MFU 4.5%  bound by memory bandwidth  next:")
    assert "MBU" not in brief


@given(
    loaded=values_of(Loaded), summary=values_of(Summary), device=values_of(DeviceFigures),
    effective=st.none() | values_of(EffectiveSettings), ceilings=st.none() | values_of(DevicePeaks),
    name=st.sampled_from(sorted(SPECS)),
)  # fmt: skip
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_no_result_makes_it_fail(
    loaded: Loaded, summary: Summary, device: DeviceFigures, effective: EffectiveSettings | None,
    ceilings: DevicePeaks | None, name: str,
) -> None:  # fmt: skip
    """It is computed at the end of a run: what it does not understand must not cost the run."""
    odd = replace(
        kept()[TINY_FUSED],
        loaded=replace(loaded, engine=name),
        summary=summary,
        device=device,
        effective=effective,
        ceilings=ceilings,
    )
    for shape in (None, shipped_shape("synthetic:tinyllama-1.1b")):
        limits = derive(odd, shape=shape)
        limit_lines(replace(odd, limits=limits))
        assert limits is None or limits.bound


@pytest.mark.parametrize("damage", range(6))
def test_results_with_holes_are_judged_without_failing(damage: int) -> None:
    result = kept()[TINY_FUSED]
    summary, loaded = result.summary, result.loaded
    assert loaded is not None
    broken = [
        replace(result, summary=replace(summary, ttft=None, latency=None)),
        replace(result, summary=replace(summary, tpot=None, itl=None)),
        replace(result, summary=replace(summary, failed=summary.requests)),
        replace(result, device=None, effective=None),
        replace(result, loaded=replace(loaded, parameters=None, weight_bytes=None, lookup_bytes=None)),
        replace(
            result,
            device=DeviceFigures(),
            effective=EffectiveSettings(settings={"tensor_parallel": "x" * 50}),
            fingerprint=replace(result.fingerprint, host=HostFacts("h", "k")),
        ),
    ][damage]
    limits = limits_of(broken)
    assert limits is not None
    assert limits.bound in ("unknown", "memory bandwidth")
    limit_lines(broken)
