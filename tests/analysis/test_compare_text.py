"""Comparisons as text: verdicts in words, one table for many runs, Markdown."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from support.results import as_imported, make_results
from support.series import SERIES, STRETCHED

from infertui.analysis.compare import Comparison, compare
from infertui.analysis.compare_text import lines, markdown, table
from infertui.analysis.outcome import ComparedFigure, p_text, percent
from infertui.config.schema import WorkloadConfig
from infertui.config.sweep import Place
from infertui.measure.comparison import Better, Ratio
from infertui.measure.quality import Quality
from infertui.measure.statistics import Interval
from infertui.results.observations import Observation
from infertui.results.result import DeviceFigures, Result
from infertui.targets.engine.base import EffectiveSettings

MEASURED = [
    result for result in make_results(60) if result.state == "finished" and result.verdict.valid and result.device
]


def figure(value: float, low: float, high: float, better: Better = "higher", show: str = "number") -> ComparedFigure:
    return ComparedFigure("f", 1.0, value, better, Ratio(value, Interval(low, high), 0.01), show, "f")


@pytest.mark.parametrize(
    ("found", "words", "short"),
    [
        (figure(2.41, 2.38, 2.44), "2.41x as high (2.38x to 2.44x)", "2.41 2.38-2.44 +"),
        (figure(12.34, 12.0, 12.6), "12.3x as high (12.0x to 12.6x)", "12.3 12.0-12.6 +"),
        (figure(0.918, 0.9173, 0.9195), "8.2% lower (-8.3% to -8.1%)", "0.918 0.917-0.919 -"),
        (figure(1.034, 1.021, 1.047), "3.4% higher (+2.1% to +4.7%)", "1.03 1.02-1.05 +"),
        (figure(0.5, 0.4, 0.625), "50% lower (-60% to -38%)", "0.50 0.40-0.62 -"),
        (figure(0.91, 0.90, 0.92, "lower", "bytes"), "9.0% less (-10.0% to -8.0%)", "0.91 0.90-0.92 +"),
        (figure(0.8, 0.7, 0.9, "lower"), "20% less (-30% to -10%)", "0.80 0.70-0.90 +"),
        # Nearly all is not all: 1 - 0.004 at no places, 1 - 0.00001, and what four places could not hold.
        (figure(0.004, 0.003, 0.2, "lower"), "99.6% less (-99.7% to -80%)", "0.0040 0.0030-0.20 +"),
        (figure(1e-5, 0.9e-5, 1.1e-5, "lower"), "99.999% less (-99.999% to -99.999%)", "0.000010 0.0000090-0.000011 +"),
        (
            figure(1e-9, 0.9e-9, 1.1e-9, "lower"),
            "99.9999% less (-99.9999% to -99.9999%)",
            "0.0000000010 0.00000000090-0.0000000011 +",
        ),
        (figure(0.5, 0.4, 0.625, "lower", "seconds"), "50% shorter (-60% to -38%)", "0.50 0.40-0.62 +"),
        (figure(2.5, 2.0, 3.0, "lower", "seconds"), "2.50x as long (2.00x to 3.00x)", "2.50 2.00-3.00 -"),
        (figure(2.5, 2.0, 3.0, "lower", "bytes"), "2.50x as much (2.00x to 3.00x)", "2.50 2.00-3.00 -"),
        (
            figure(0.0042, 0.004, 0.0044, "lower", "seconds"),
            "99.58% shorter (-99.60% to -99.56%)",
            "0.0042 0.0040-0.0044 +",
        ),
        # An interval that leaves 1 out must not seem to hold it.
        (figure(1.15, 1.0004, 1.46), "15% higher (+0.04% to +46%)", "1.15 1.0004-1.46 +"),
        (figure(0.997, 0.96, 0.9996), "0.3% lower (-4.0% to -0.04%)", "0.997 0.96-0.9996 -"),
        # Equal: all of the interval is within 2 %. Unclear: it holds 1, and reaches beyond.
        (
            figure(1.002, 0.999, 1.005, "lower", "bytes"),
            "equal within 2%: +0.2% (-0.1% to +0.5%)",
            "1.002 0.999-1.005 =",
        ),
        (figure(1.0042, 1.0021, 1.0063), "different, by less than 2%: +0.4% (+0.2% to +0.6%)", "1.004 1.002-1.006 ="),
        (figure(1.01, 0.98, 1.04), "unclear: +1.0% (-2.0% to +4.0%)", "1.01 0.98-1.04 ?"),
        (figure(0.64, 0.43, 1.05), "unclear: -36% (-57% to +5%)", "0.64 0.43-1.05 ?"),
        (figure(1.0, 0.98, 1.02), "equal within 2%: 0.0% (-2.0% to +2.0%)", "1.00 0.98-1.02 ="),
        (figure(1.0, 0.979, 1.02), "unclear: 0.0% (-2.1% to +2.0%)", "1.00 0.98-1.02 ?"),
        (figure(2.2, 0.9, 5.0), "unclear: 2.20x (0.90x to 5.00x)", "2.20 0.90-5.00 ?"),
    ],
)
def test_verdicts_in_words(found: ComparedFigure, words: str, short: str) -> None:
    assert found.verdict == words
    assert found.ratio_text == short


def test_verdicts_without_an_interval() -> None:
    alone = ComparedFigure("f", 1.0, 2.0, "higher", Ratio(2.0), "number", "f")
    assert alone.verdict == "2.00x as high, too few iterations to say how sure"
    less = replace(alone, better="lower", show="bytes", basis="whole", ratio=Ratio(0.91))
    assert less.verdict == "9.0% less"
    assert replace(less, ratio=Ratio(0.95)).verdict == "5.0% less"
    assert replace(alone, wanting="the file has no batches").verdict == "2.00x as high, the file has no batches"
    assert replace(alone, basis="rounds").verdict.endswith("too few rounds to say how sure")
    assert replace(alone, basis="whole", show="bytes", better="lower").verdict == "2.00x as much"
    assert replace(alone, ratio=Ratio(1.0)).verdict == "the same"
    assert alone.sign == "?"
    assert (replace(alone, ratio=None).verdict, replace(alone, ratio=None).sign) == ("n/a", "")


@pytest.mark.parametrize(("band", "sign"), [(0.01, "?"), (0.029, "?"), (0.03, "="), (0.5, "=")])
def test_equal_is_what_the_band_says(band: float, sign: str) -> None:
    one = replace(figure(1.01, 0.99, 1.03), equal_within=band)
    assert one.sign == sign
    assert replace(one, ratio=Ratio(1.2, Interval(1.19, 1.21)), equal_within=0.1).sign == "+"


@given(st.floats(0.001, 1000), st.floats(1e-6, 1), st.floats(1e-6, 1), st.sampled_from(["seconds", "bytes", "number"]))
def test_words_signs_and_intervals_agree(value: float, below: float, above: float, show: str) -> None:
    found = figure(value, value * math.exp(-below), value * math.exp(above), "lower", show)
    assert found.ratio is not None
    assert found.ratio.interval is not None
    low, high = found.ratio.interval.low, found.ratio.interval.high
    worded = any(word in found.verdict for word in ("less", "shorter", "more", "longer", "as much", "as long"))
    match found.outcome:
        case "equal":
            assert 0.98 - 1e-8 <= low <= high <= 1.02 + 1e-8
        case "unclear":
            assert low - 1e-8 <= 1 <= high + 1e-8
            assert found.verdict.startswith("unclear: ")
        case "better":
            assert high < 1
            assert worded
        case _:
            assert low > 1
            assert worded
    assert found.sign == {"better": "+", "worse": "-", "equal": "=", "unclear": "?"}[found.outcome]


def test_rounding_is_equal() -> None:
    assert figure(1 + 1e-15, 1 + 1e-15, 1 + 2e-15).sign == "="
    assert (p_text(0.0004), p_text(0.0625), p_text(0.25)) == ("< 0.001", "0.0625", "0.250")
    assert (percent(0.034), percent(0.0042), percent(0.00042)) == ("3.4%", "0.42%", "0.042%")


def batches(step: float, count: int = 12) -> list[Observation]:
    return [
        Observation(
            tokens=100, seconds=step * (100 + at % 3), latency=step * (99 + at % 3), ttft=step, tpot=step,
            energy_j=50.0, requests=2, itl=step,
        )
        for at in range(count)
    ]  # fmt: skip


def compared(count: int, **changes: object) -> list[Comparison]:
    first = replace(MEASURED[0], id="20260301-101500-baseline-0000")
    return [
        compare(
            first, replace(first, id=f"2026030{at}-101500-other-{at}", **changes), (batches(1.0), batches(1.0 / at))
        )
        for at in range(1, count + 1)
    ]


def test_one_comparison_says_what_differs_before_any_figure() -> None:
    workload = replace(MEASURED[0].own_config.workload, output_len=7)
    found = lines(compared(1, config=replace(MEASURED[0].own_config, workload=workload))[0])
    assert found[0] == "20260301-101500-other-1  against  20260301-101500-baseline-0000"
    assert found[1].startswith("  NOT COMPARABLE  other output lengths: ")
    assert found[2].startswith("  differs workload.output_len: ")
    assert found[3].startswith("  throughput, tok/s")
    joined = " ".join(line.strip() for line in found)
    assert "not what varies from one process to the next" in joined
    assert "`infertui bench` repeats both in turn" in joined


def test_the_same_run_needs_no_warning_about_processes() -> None:
    one = compare(MEASURED[0], MEASURED[0], (batches(1.0), batches(1.0)))
    assert one.notes == ()
    assert "differs nothing: the same config on the same software" in "\n".join(lines(one))


@pytest.mark.parametrize("count", [2, 3, 7])
def test_many_runs_are_one_table_of_eighty_columns(count: int) -> None:
    found = table(compared(count))
    assert max(map(len, found)) <= 80
    assert found[0] == "A  20260301-101500-baseline-0000  (baseline)"
    rows = [line for line in found if line.startswith("throughput, tok/s")]
    ratios = " ".join(row.removeprefix("throughput, tok/s").split(maxsplit=1)[1] for row in rows)
    assert ratios.split()[::3] == [f"{at:.2f}" if at > 1 else "1.000" for at in range(1, count + 1)]
    assert ratios.split()[2::3] == ["=", *"+" * (count - 1)]
    heads = " ".join(line for line in found if line.split()[:1] == ["A"] and "baseline" not in line).split()
    assert [name for name in heads if name != "A"] == list("BCDEFGH"[:count])


def test_a_table_names_the_runs_that_a_mark_is_about() -> None:
    first, *_ = MEASURED
    short = replace(first.own_config, workload=replace(first.own_config.workload, output_len=7))
    others = [
        replace(first, id="same"),
        replace(first, id="short", config=short, quality=Quality(beyond=("3 of 4 prompts part",))),
    ]
    found = table([compare(first, other, (batches(1.0), batches(1.0))) for other in others])
    assert any(line.startswith("  NOT COMPARABLE  C: other output lengths: ") for line in found)
    assert "  NOT COMPARABLE  C says something else: 3 of 4 prompts part" in found
    assert any(line.startswith("  differs workload.output_len: ") and line.endswith("-> 7 (C)") for line in found)


def test_markdown_is_small_and_inert() -> None:
    evil = "a|b`<img src=x>\n# head"
    config = replace(MEASURED[0].own_config, labels={"who": evil})
    found = markdown(compared(2, config=config), title=evil)
    assert "<img" not in found.replace("\\<img", "")
    head = next(line for line in found.split("\n") if line.startswith("| |"))
    assert head == "| | A | B | C |"
    body = found.split("\n")[found.split("\n").index(head) + 1 :]
    rows = [line for line in body if line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in rows} == {5}
    assert any("2.00x as high" in line for line in rows)
    assert len(found) < 4000


def imported(**changes: object) -> Result:
    made = as_imported(MEASURED[0], "workload.prompts", "model.id", file="vllm.json")
    return replace(made, id="imp", source="vllm bench serve", **changes)


def test_what_an_imported_file_does_not_tell_is_not_available() -> None:
    first = replace(MEASURED[0], config=replace(MEASURED[0].own_config, workload=WorkloadConfig(prompts="long")))
    found = compare(first, imported(), (batches(1.0), []))
    whats = {one.what: one for one in found.differences}
    assert whats["workload.prompts"].second == "n/a"
    assert whats["model.id"].second == "n/a"
    assert "imp: prompts not known" in found.unlike
    assert "imp: models not known" in found.unlike
    throughput = found.figures[0]
    assert throughput.second == MEASURED[0].summary.output_throughput
    assert throughput.ratio is not None
    assert throughput.ratio.interval is None
    assert throughput.verdict.endswith("not kept by iteration, so how sure is not known")


def test_runs_of_which_no_iteration_is_left_are_compared_by_their_own_intervals() -> None:
    kept = replace(MEASURED[0].summary, output_throughput=100.0, output_throughput_interval=Interval(98.0, 102.0))
    other = replace(kept, output_throughput=150.0, output_throughput_interval=Interval(147.0, 153.0))
    found = compare(replace(MEASURED[0], summary=kept), replace(MEASURED[0], id="b", summary=other), ([], []))
    throughput = found.figures[0].ratio
    assert throughput is not None
    assert throughput.interval is not None
    # Half widths of the logarithms, 0.0200 on each side, add up as squares: 1.5 over and times exp(0.0283).
    assert throughput.value == 1.5
    assert (round(throughput.interval.low, 2), round(throughput.interval.high, 2)) == (1.46, 1.54)
    assert found.figures[1].wanting == "not kept by iteration, so how sure is not known"


def marks(one: Result, other: Result) -> Sequence[str]:
    return compare(one, other, (batches(1.0), batches(1.0))).unlike


def test_one_cpu_by_the_names_of_two_engines_is_one_device() -> None:
    one = MEASURED[0]
    assert one.loaded is not None
    on_cpu, named = (
        replace(one, loaded=replace(one.loaded, device="cpu", device_name=name)) for name in ("CPU", "A CPU @ 2 GHz")
    )
    assert not any("devices" in mark for mark in marks(on_cpu, named))
    host = replace(one.fingerprint.host, cpu_model="another")
    elsewhere = replace(named, fingerprint=replace(named.fingerprint, host=host))
    assert any(mark.startswith("other devices: ") for mark in marks(on_cpu, elsewhere))


def test_unlike_things_are_loud() -> None:
    one = MEASURED[0]
    assert one.loaded is not None
    assert one.device is not None
    newer = replace(one, loaded=replace(one.loaded, versions={"torch": "9.9", "transformers": "5.1"}))
    assert "other versions of transformers: torch 2.11.0 -> 9.9, transformers none -> 5.1" in marks(one, newer)
    hot = replace(one, id="hot", device=DeviceFigures(throttles=("hw-thermal", "power-cap")))
    assert "hot was throttled: hw-thermal" in marks(one, hot)
    real = replace(one, loaded=replace(one.loaded, random_weights=not one.loaded.random_weights))
    assert "random weights against real ones" in marks(one, real)
    assert any(mark.startswith("other devices: ") for mark in marks(one, replace(one, loaded=replace(
        one.loaded, device_name="another"))))  # fmt: skip
    assert any(mark.startswith("other number formats: ") for mark in marks(one, replace(one, loaded=replace(
        one.loaded, dtype="int4"))))  # fmt: skip
    fine, coarse = (
        replace(one, effective=EffectiveSettings({"llama_cpp.type_k": kind, "llama_cpp.type_v": kind}))
        for kind in ("f16", "q4_0")
    )
    assert "other formats of the KV cache: f16, q4_0" in marks(fine, coarse)
    assert not any("KV cache" in mark for mark in marks(one, coarse))  # of one of them it is not known
    slow = replace(one, id="slow", loaded=replace(one.loaded, engine="transformers", engine_requested="vllm",
                                                  fallback_reason="none"))  # fmt: skip
    assert any(mark.startswith("slow is a fallback") for mark in marks(one, slow))
    assert marks(one, one) == ()


def test_memory_is_compared_with_its_own_kind() -> None:
    one = MEASURED[0]
    assert one.device is not None
    lacking = replace(one, device=replace(one.device, vram_process=None))
    figure = compare(one, lacking, (batches(1.0), batches(1.0))).figures[-1]
    assert figure.name == "allocator peak"
    assert figure.verdict == "the same"
    host = replace(lacking, summary=replace(one.summary, memory=replace(
        one.summary.memory, allocated_peak=None, resident_peak=5)))  # fmt: skip
    figure = compare(one, host, (batches(1.0), batches(1.0))).figures[-1]
    assert (figure.name, figure.verdict) == ("memory, not of one kind", "n/a")


def test_runs_of_one_bench_point_to_it() -> None:
    one, other = (replace(MEASURED[0], id=name, bench=Place("b7", name, 0, 5)) for name in "ab")
    note, *_ = compare(one, other, (batches(1.0), batches(1.0))).notes
    assert "`infertui compare --bench b7`" in note


def timed(times: Sequence[float]) -> list[Observation]:
    return [
        Observation(tokens=100, seconds=time, latency=time, ttft=time, tpot=time, energy_j=None, itl=time)
        for time in times
    ]


def noted(times: Sequence[float], others: Sequence[float]) -> str:
    one, other = (replace(MEASURED[0], id=name) for name in "ab")
    return " ".join(compare(one, other, (timed(times), timed(others))).notes)


def test_notes_name_autocorrelation_where_it_is_seen_or_cannot_be() -> None:
    generator = np.random.default_rng(5)
    (one, other), (quiet, calm) = (SERIES[name].draw(generator, 2, 40).tolist() for name in ("AR 0.8", "normal"))
    assert "depend on those just before them (autocorrelation, 0." in noted(one, other)
    assert "autocorrelation" not in noted(quiet, calm)
    few = noted(quiet[:9], calm[:30])
    assert "whether iterations depend on one another (autocorrelation): that takes 10 of them" in few
    assert "assume that they do not" in few
    assert "5 figures are compared at once" in noted(quiet, calm), "throughput, E2E, TTFT, TPOT, ITL"
    assert "up to 23% show a difference in at least one" in noted(quiet, calm), "1 - 0.95**5 = 0.226"


def test_iterations_that_only_wander_tell_no_interval() -> None:
    one, other = (replace(MEASURED[0], id=name) for name in "ab")
    line = [1 + at / 10 for at in range(12)]
    figure = compare(one, other, (timed(line), timed([2 * time for time in line]))).figures[0]
    assert figure.ratio is not None
    assert figure.ratio.interval is None
    assert "iterations may depend on one another too much to say how sure" in figure.verdict


def test_stretches_tell_of_five_iterations_whether_they_depend_on_one_another() -> None:
    """Then no note says that it is assumed, but of TTFT, which they do not make."""
    generator = np.random.default_rng(3)
    sides = [[
        replace(batch, stretches=tuple(float(part) for part in parts))
        for batch, parts in zip(timed(run.sum(axis=1).tolist()), run, strict=True)
    ] for run in STRETCHED["noise of steps"].draw(generator, 2, 5)]  # fmt: skip
    one, other = (replace(MEASURED[0], id=name) for name in "ab")
    found = compare(one, other, (sides[0], sides[1]))
    assert {figure.key: figure.ratio.assumed for figure in found.figures if figure.ratio and figure.ratio.interval} == {
        "throughput": False, "latency": False, "ttft": True, "tpot": False, "itl": False,
    }  # fmt: skip
    assert "Of TTFT mean it cannot be seen" in " ".join(found.notes)
