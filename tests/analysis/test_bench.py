"""What a bench is said to have found: pairs within rounds, and which rounds count."""

import pytest
from msgspec.structs import replace
from support.results import make_results

from infertui.analysis.bench import Bench, bench_report, headline
from infertui.analysis.compare import ComparedFigure
from infertui.analysis.compare_text import bench_lines, markdown
from infertui.config.schema import EngineConfig, MeasurementConfig
from infertui.config.sweep import Place
from infertui.measure.quality import Quality
from infertui.measure.validity import Verdict
from infertui.results.result import Error, Result

MEASURED = next(
    result
    for result in make_results(50)
    if result.state == "finished" and result.verdict.valid and result.power and result.power.energy_j
)
ARMS = ("eager", "graph")


def ran(arm: str, number: int, speed: float, *, rounds: int = 3, **changes: object) -> Result:
    """A run of a bench at so many tokens per second; eager is the baseline."""
    place = Place("b1", arm, number, rounds, baseline=arm == "eager", arms=ARMS, seed=4)
    config = replace(MEASURED.own_config, engine=EngineConfig(mode="auto" if arm == "eager" else "cudagraph"))
    return replace(
        MEASURED, id=f"{arm}-{number}", config=config, bench=place,
        summary=replace(MEASURED.summary, output_throughput=speed), **changes,
    )  # fmt: skip


def figure(report: Bench, key: str) -> ComparedFigure:
    return next(one for one in report.comparisons[0].figures if one.key == key)


def text(report: Bench) -> str:
    return "\n".join(bench_lines(report))


def test_ratios_are_within_rounds_whatever_the_rounds_differ_by() -> None:
    found = bench_report([ran(arm, at, speed) for at, (one, other) in enumerate([(100, 200), (50, 100), (10, 21)])
                          for arm, speed in (("graph", other), ("eager", one))])  # fmt: skip
    throughput = figure(found, "throughput")
    assert throughput.ratio is not None
    assert throughput.ratio.value == pytest.approx((2 * 2 * 2.1) ** (1 / 3))
    assert throughput.first == pytest.approx((100 * 50 * 10) ** (1 / 3))
    assert throughput.second == pytest.approx((200 * 100 * 21) ** (1 / 3))
    # By hand: ln 2, ln 2, ln 2.1 have mean 0.7094 and s 0.0282; t(2) s / sqrt 3 is 0.0700.
    assert throughput.verdict == "2.03x as high (1.90x to 2.18x)"
    assert throughput.ratio.p == 0.25
    assert [arm.name for arm in found.arms] == list(ARMS)
    assert found.arms[0].variation == pytest.approx(1.1813, abs=1e-4)  # sd of ln 100, ln 50, ln 10
    assert headline(found) == ["graph against eager: throughput 2.03x as high (1.90x to 2.18x)"]
    assert [one.what for one in found.comparisons[0].differences] == ["engine.mode"]
    assert found.missing == 0
    assert "3 rounds of 2 configs in turn, order drawn with seed 4" in text(found)


def test_equal_runs_are_equal() -> None:
    found = bench_report([ran(arm, at, 100.0) for at in range(3) for arm in ARMS])
    assert {one.sign for one in found.comparisons[0].figures} == {"="}
    assert figure(found, "energy").verdict == "equal within 2%: 0.0% (0.0% to 0.0%)"
    assert figure(found, "memory").verdict == "equal within 2%: 0.0% (0.0% to 0.0%)"


def test_energy_of_a_request_is_the_windows_energy_over_those_that_did_not_fail() -> None:
    assert MEASURED.power is not None
    assert MEASURED.power.energy_j is not None
    energy = figure(bench_report([ran(arm, 0, 1.0, rounds=1) for arm in ARMS]), "energy-request")
    assert energy.first == pytest.approx(MEASURED.power.energy_j / (MEASURED.summary.requests or 0))


INVALID = Verdict(("another process used the GPU",))


def test_an_invalid_run_leaves_its_whole_round_out_and_that_is_said() -> None:
    results = [ran(arm, at, 100.0) for at in range(4) for arm in ARMS]
    results[3] = ran("graph", 1, 900.0, verdict=INVALID)
    found = bench_report([replace(run, bench=replace(run.bench, rounds=4)) for run in results if run.bench])
    assert found.used == (1, 3, 4)
    assert found.left_out == ("round 2: invalid: graph",)
    assert found.invalid == ("graph in round 2 (graph-1): another process used the GPU",)
    assert figure(found, "throughput").sign == "="
    assert found.arms[0].runs == ("eager-0", "eager-2", "eager-3")
    assert "left out round 2: invalid: graph" in text(found)
    assert "3 of 4 rounds" in text(found)
    kept = bench_report(results, with_invalid=True)
    assert 2 in kept.used
    assert kept.invalid == found.invalid
    assert "graph is invalid: another process used the GPU" in kept.comparisons[0].unlike


def test_rounds_that_are_not_whole_are_left_out() -> None:
    results = [
        *(ran(arm, 0, 100.0, rounds=6) for arm in ARMS),
        ran("graph", 1, 100.0, rounds=6),
        ran("eager", 2, 100.0, rounds=6),
        ran("graph", 2, 100.0, rounds=6, state="interrupted"),
    ]
    found = bench_report(results)
    assert found.used == (1,)
    assert found.left_out == ("round 2: not measured: eager", "round 3: not measured: graph",
                              "3 of 6 rounds: not measured")  # fmt: skip
    assert found.missing == 12 - 4
    assert "1 of at least 3 rounds" in text(found)
    assert figure(found, "throughput").ratio_text == "1.00 ?"
    nothing = bench_report(results[2:3])
    assert nothing.comparisons == ()
    assert "No whole round is left to compare." in text(nothing)


def test_a_run_that_was_repeated_counts_once_the_last_time() -> None:
    results = [ran(arm, at, 100.0) for at in range(3) for arm in ARMS]
    again = replace(ran("graph", 1, 100.0), id="again")
    assert bench_report([*results, again]).arms[1].runs == ("graph-0", "again", "graph-2")


def test_what_changed_between_the_rounds_of_an_arm_is_loud() -> None:
    results = [ran(arm, at, 100.0) for at in range(3) for arm in ARMS]
    results[4] = replace(results[4], fingerprint=replace(MEASURED.fingerprint, driver="999.1"))
    found = bench_report(results)
    assert any("eager was not measured alike in all rounds: driver 580.1 -> 999.1" in one
               for one in found.comparisons[0].unlike)  # fmt: skip
    assert "other drivers: 999.1, 580.1" in found.comparisons[0].unlike


def test_other_devices_of_the_same_kind_are_told() -> None:
    loaded = MEASURED.loaded
    assert loaded is not None

    def notes(*uuids: str) -> str:
        results = [
            ran(arm, at, 100.0, loaded=replace(loaded, device_uuid=uuid))
            for at in range(3)
            for arm, uuid in zip(ARMS, uuids[2 * at : 2 * at + 2], strict=True)
        ]
        return " ".join(bench_report(results).comparisons[0].notes)

    assert "devices" not in notes(*"aaaaaa")
    assert "The rounds ran on 2 devices of one kind, one after the other; the two of a round on" in notes(*"aaaabb")
    assert "In 2 of 3 rounds the two ran on different devices of one kind" in notes(*"aababa")
    assert "devices" not in notes("a", "", "a", "", "a", ""), "an engine that tells no id ran on the same host"
    assert "The rounds ran on 2 devices" in notes("a", "", "a", "", "b", "")


def test_a_device_is_known_by_its_id_and_not_by_the_name_of_a_container() -> None:
    def notes(uuid: str, *hosts: str) -> str:
        loaded, known = MEASURED.loaded, MEASURED.fingerprint
        assert loaded is not None
        results = [
            ran(
                arm,
                at,
                100.0,
                loaded=replace(loaded, device_uuid=uuid),
                fingerprint=replace(known, host=replace(known.host, hostname=host)),
            )
            for at, host in enumerate(hosts)
            for arm in ARMS
        ]
        return " ".join(bench_report(results).comparisons[0].notes)

    assert "devices" not in notes("GPU-1", "first", "second", "third")
    assert "The rounds ran on 3 devices" in notes("", "first", "second", "third"), "of CPUs there is no id"


def test_a_cpu_beside_a_gpu_is_no_other_device_of_one_kind() -> None:
    loaded = MEASURED.loaded
    assert loaded is not None
    other = replace(loaded, device="cpu", device_name="CPU", device_uuid="")
    results = [
        ran(arm, at, 100.0, loaded=one) for at in range(3) for arm, one in zip(ARMS, (loaded, other), strict=True)
    ]
    assert "of one kind" not in " ".join(bench_report(results).comparisons[0].notes)


def test_outputs_beyond_the_thresholds_are_loud_once() -> None:
    quality = Quality(beyond=("12.0% of tokens are equal, fewer than 90.0%",))
    results = [ran(arm, at, 100.0, quality=quality if arm == "graph" else None) for at in range(3) for arm in ARMS]
    marks = bench_report(results).comparisons[0].unlike
    assert marks == ("graph says something else: 12.0% of tokens are equal, fewer than 90.0%",)


def test_a_figure_that_one_run_lacks_is_not_available() -> None:
    results = [ran(arm, at, 100.0) for at in range(3) for arm in ARMS]
    results[2] = replace(results[2], power=None)
    energy = figure(bench_report(results), "energy")
    assert (energy.first, energy.ratio, energy.verdict) == (None, None, "n/a")
    assert energy.second is not None


def test_rounds_added_later_are_told() -> None:
    results = [ran(arm, at, 100.0 + at, rounds=3 if at < 3 else 5) for at in range(5) for arm in ARMS]
    found = bench_report(results)
    assert found.rounds == 5
    assert any("Rounds were added" in note for note in found.comparisons[0].notes)


def test_texts_from_outside_are_inert() -> None:
    evil = "x\x1b[31m|`<script>"
    place = Place(evil, evil, 0, 1, baseline=True, arms=(evil, "b"))
    found = bench_report([replace(MEASURED, bench=place), replace(MEASURED, bench=replace(place, arm="b"))])
    assert "\x1b" not in text(found)
    page = markdown(found.comparisons, found.bench)
    assert "\x1b" not in page
    assert "<script>" not in page.replace("\\<", "")
    assert figure(found, "throughput").verdict == "the same"


def test_long_settings_do_not_matter_to_the_pairs() -> None:
    longer = replace(MEASURED.own_config, measurement=MeasurementConfig(iterations=99))
    results = [replace(ran(arm, at, 100.0), config=longer) for at in range(3) for arm in ARMS]
    assert bench_report(results).comparisons[0].differences == ()


def test_an_arm_that_failed_for_good_is_told_and_the_others_are_compared_without_it() -> None:
    def of_three(arm: str, number: int, speed: float) -> Result:
        result = ran(arm, number, speed)
        assert result.bench
        return replace(result, bench=replace(result.bench, arms=(*ARMS, "other")))

    runs = [of_three(arm, number, speed) for number in range(3) for arm, speed in (("eager", 100.0), ("graph", 200.0))]
    error = Error("engine", "it has\x1b[31m no such kernel")
    lost = replace(of_three("other", 0, 1.0), state="failed", error=error)
    found = bench_report([lost, *runs])
    assert [arm.name for arm in found.arms] == list(ARMS)
    assert [(arm.name, arm.error) for arm in found.failed] == [("other", "it has no such kernel")]
    assert (found.used, found.missing, found.left_out) == ((1, 2, 3), 0, ())
    assert "failed other: it has no such kernel" in text(found)
    # One that failed once and finished later has only lost a round.
    again = bench_report([lost, *runs, of_three("other", 1, 50.0)])
    assert not again.failed
    assert again.used == (2,)


def test_without_a_baseline_the_first_of_the_others_is_one_and_without_any_nothing_is_compared() -> None:
    def lost(arm: str, number: int) -> Result:
        return ran(arm, number, 1.0, state="failed", error=Error("engine", "no"))

    found = bench_report([lost("eager", 0), *(ran("graph", number, 200.0) for number in range(3))])
    assert ([arm.name for arm in found.arms], found.comparisons) == (["graph"], ())
    assert found.arms[0].throughput == pytest.approx(200)
    nothing = bench_report([lost("eager", 0), lost("graph", 0)])
    assert [arm.name for arm in nothing.failed] == [arm.name for arm in nothing.arms] == list(ARMS)
    assert text(nothing)
