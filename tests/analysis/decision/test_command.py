"""The command that repeats a run: what it says, read back, is the config of the run."""

import shlex
from pathlib import Path

import pytest
from msgspec.structs import replace
from support.results import make_results

from infertui.analysis.decision.command import repeating
from infertui.config.parse import FlatValue, build, flat_values
from infertui.config.schema import Config
from infertui.config.sources import set_layer
from infertui.results.result import Result
from infertui.results.runs import Store

KEPT = Path(__file__).parents[3] / "reports" / "h200-engines"
RUNS = [*make_results(12, seed=3), *Store(KEPT).each_result(warn=print)]


def measured(config: Config) -> dict[str, FlatValue]:
    return {key: value for key, value in flat_values(config).items() if not key.startswith(("labels.", "sweep."))}


@pytest.mark.parametrize("result", [one for one in RUNS if one.config], ids=lambda one: one.id)
def test_spelled_out_it_is_the_config_of_the_run(result: Result) -> None:
    program, command, *words = shlex.split(repeating(result, ""))
    assert [program, command, *words[::2]] == ["infertui", "run", *["--set"] * (len(words) // 2)]
    assert result.config is not None
    assert measured(build(set_layer(words[1::2]).values)) == measured(result.config)


def test_a_kept_config_is_named_and_an_imported_run_has_none() -> None:
    assert repeating(RUNS[-1], "my runs") == f"infertui run 'my runs/{RUNS[-1].id}/run.toml'"
    assert repeating(replace(RUNS[-1], config=None), "reports") == ""
