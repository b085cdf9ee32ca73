"""What is refused at the door of the queue, in one clear error."""

from pathlib import Path

import pytest
from msgspec.structs import replace
from support.runs import simulated

from infertui.config.schema import SweepConfig
from infertui.config.sweep import Place, Variant
from infertui.errors import ConfigError, InfertuiError, UsageError
from infertui.runner.control import Submission
from infertui.runner.scheduling.queue import accepted

GOOD = Submission("t", (Variant("n", simulated(), {}),), "/reports")


def test_what_is_in_order_stays_as_it_is() -> None:
    assert accepted(GOOD) == GOOD


@pytest.mark.parametrize("out", ["reports", "../reports", "", "/a\0b", "/" + "x" * 5000])
def test_a_reports_folder_that_cannot_be_is_refused(out: str) -> None:
    with pytest.raises(UsageError, match="reports folder") as error:
        accepted(replace(GOOD, out=out))
    assert len(error.value.message) < 300
    assert error.value.message.isprintable()


def test_a_place_in_a_bench_is_kept_and_its_names_are_fit_to_be_shown() -> None:
    place = Place("b1", "arm", 0, 2, baseline=True, arms=("arm", "other"), seed=3)
    assert accepted(replace(GOOD, variants=(Variant("n", simulated(), {}, place),))).variants[0].place == place
    evil = replace(place, bench="b\x1b[2J", arm="a\x1b]0;x\x07", arms=("a\nb", "c"))
    (variant,) = accepted(replace(GOOD, variants=(Variant("n", simulated(), {}, evil),))).variants
    assert variant.place == replace(evil, bench="b", arm="a", arms=("a b", "c"))


def test_titles_are_fit_to_be_shown() -> None:
    queued = accepted(replace(GOOD, title="a\x1b]0;x\x07b\nc", variants=(Variant("\x1b[2Jn", simulated(), {}),)))
    assert (queued.title, queued.variants[0].name) == ("ab c", "n")


@pytest.mark.parametrize(
    "submission",
    [
        replace(GOOD, variants=()),
        replace(GOOD, variants=GOOD.variants * 10_001),
        replace(GOOD, title="x" * 10_000_000),
        replace(GOOD, variants=(Variant("x" * 10_000_000, simulated(), {}),)),
        replace(GOOD, variants=(Variant("", replace(simulated(), labels={"a": "b" * 10_000_000}), {}),)),
        replace(GOOD, variants=(Variant("", simulated(), {}, Place("b", "a", 0, 1, arms=("a",) * 10_001)),)),
        replace(GOOD, variants=(Variant("", simulated(), {}, Place("b", "x" * 10_000_000, 0, 1)),)),
        replace(GOOD, variants=(Variant("", replace(simulated(), sweep=SweepConfig({"model.seed": [1, 2]})), {}),)),
    ],
)
def test_what_is_too_much_is_refused(submission: Submission) -> None:
    with pytest.raises(UsageError) as error:
        accepted(submission)
    assert len(error.value.message) < 300


@pytest.mark.parametrize(
    ("section", "values"),
    [("workload", {"prompts": "random"}), ("workload", {"prompts_file": "/a\0b"}), ("workload", {"top_k": 3})],
)
def test_a_config_that_contradicts_itself_is_refused_as_in_a_file(section: str, values: dict[str, object]) -> None:
    config = simulated()
    config = replace(config, **{section: replace(getattr(config, section), **values)})
    with pytest.raises(ConfigError) as error:
        accepted(replace(GOOD, variants=(Variant("", config, {}),)))
    assert error.value.path.startswith(section)


def test_one_bad_config_refuses_the_whole(tmp_path: Path) -> None:
    bad = replace(simulated(), labels={"": "x"})
    with pytest.raises(InfertuiError):
        accepted(Submission("t", (*GOOD.variants, Variant("", bad, {})), str(tmp_path)))
