"""Measured configurations: the runs of each, its figures with what they rest on, and how it stands to a baseline. Pure.

Runs of one task (model, device, prompts, output length) are set beside each other; what is not the same in two of them
otherwise is what there is to choose.
"""

import math
from collections.abc import Callable, Sequence
from typing import Literal

from msgspec import Struct

from infertui.analysis.comparability import unlike
from infertui.analysis.outcome import Outcome, outcome_of
from infertui.config.engines.registry import SPECS
from infertui.config.sweep import short_name
from infertui.measure.comparison import Ratio, geometric_mean
from infertui.measure.dependence import FEWEST
from infertui.measure.statistics import CONFIDENCE, student_quantile
from infertui.metrics.metric import NOT_AVAILABLE
from infertui.metrics.reads import diverged, engine, fallback_of, ran, told
from infertui.metrics.registry import metric_of
from infertui.metrics.varying import AskedSettings, Setting, asked_of, setting_text
from infertui.results.config_keys import default_of
from infertui.results.result import Result
from infertui.results.setup import JUDGED
from infertui.text import clean

Rest = Literal["runs", "iterations", "blocks", ""]
"""What an interval is over: runs of one configuration, or the iterations of one of them, or parts of its window."""


_LEVELS = ("load.concurrency", "load.request_rate", "load.trace", "load.steps")
"""Each says how much is asked for, where the others do not."""


class Configuration(Struct, frozen=True):
    """One configuration. `runs` are all that measured it, `run` the one that its other figures are of.

    `against` says why it cannot be recommended, `unlike` why it is not comparable with the baseline. `ratio` is its
    throughput over the baseline's. Seconds, bytes, tokens per second and watt; None is not available.
    """

    name: str
    runs: tuple[str, ...]
    run: str
    against: str
    throughput: float | None
    low: float | None
    high: float | None
    interval_over: Rest
    observations: int
    latency: float | None
    ttft: float | None
    memory: float | None
    tokens_per_s_per_w: float | None
    joules_per_token: float | None
    cost: float | None = None
    """Of a million output tokens, in the currency of the advice."""
    baseline: bool = False
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None
    outcome: Outcome = ""
    unlike: tuple[str, ...] = ()


class Group(Struct, frozen=True):
    """The runs of one configuration, oldest first, and the one that counts."""

    results: tuple[Result, ...]
    chosen: Result

    @property
    def valid(self) -> tuple[Result, ...]:
        """Those with nothing against them."""
        return tuple(result for result in self.results if not against(result))


def task_of(result: Result) -> tuple[object, ...]:
    """What has to be the same for two runs to answer one question; None is what a file does not tell."""
    setup, loaded = result.setup, result.loaded
    prompts = setup.input_len or setup.prompts
    device = loaded.device_name if loaded else setup.target.name if setup.is_endpoint else None
    return (setup.model, told(result, "model.revision"), device, prompts, setup.output_len)


def task_words(result: Result) -> str:
    """The same in words."""
    model, _, device, prompts, output = (part if part not in (None, "") else NOT_AVAILABLE for part in task_of(result))
    if model == NOT_AVAILABLE and result.setup.is_endpoint:
        model = "a model that is not known"  # as the server never said it
    unit = " tokens" if isinstance(prompts, int) else ""
    return clean(f"{model} on {device}, {prompts}{unit} in, {output} out")


def against(result: Result) -> str:
    """Why a run cannot be recommended; empty where nothing speaks against it."""
    if result.state != "finished":
        return clean(f"{result.state}: {result.error.message}" if result.error else result.state)
    if not result.verdict.valid:
        return clean(f"invalid: {'; '.join(result.verdict.invalid)}")
    if result.loaded is not None and fallback_of(result.loaded):
        return f"a fallback, not {clean(result.loaded.engine_requested)}"
    return "its outputs are not the reference's" if diverged(result) else ""


def grouped(results: Sequence[Result]) -> list[Group]:
    """The configurations of a task. The last run with nothing against it counts, else the last one."""
    groups: dict[tuple[object, ...], list[Result]] = {}
    for result in results:
        groups.setdefault(_configuration(result), []).append(result)
    found = []
    for group in groups.values():
        good = [result for result in group if not against(result)]
        found.append(Group(tuple(group), (good or group)[-1]))
    return found


def _configuration(result: Result) -> tuple[object, ...]:
    asked = asked_of(result)
    values = tuple(sorted((key, str(value)) for key, value in asked.values.items() if _counts(key)))
    loaded = result.loaded
    engine_of = loaded.engine if loaded else told(result, "engine.name")
    return (asked.whole, values, engine_of, result.source, result.imported and result.id)


def names_of(groups: Sequence[Group], without: str = "") -> list[str]:
    """What sets each configuration of a task apart from the others, in words, but for the key `without`."""
    asked = [asked_of(group.chosen) for group in groups]
    keys = sorted(
        {key for one in asked for key in one.values if _counts(key) and key not in ("model.id", "engine.name", without)}
    )
    keys = [key for key in keys if len({one.get(key) for one in asked}) > 1]
    engines, modes = ({read(group.chosen) for group in groups} for read in (engine, ran))
    names = []
    for group, one in zip(groups, asked, strict=True):
        mode = ran(group.chosen)
        told = [key for key in keys if not (key == "engine.mode" and mode) and _telling(key, one)]
        parts = [engine(group.chosen)] if len(engines) > 1 else []
        parts += [mode] if len(modes) > 1 else []
        parts += [f"{short_name(key)}={setting_text(_in_force(key, one)) or NOT_AVAILABLE}" for key in told]
        names.append(clean(" ".join(part for part in parts if part) or group.chosen.name))
    return [name if names.count(name) == 1 else f"{name} ({groups[at].chosen.name})" for at, name in enumerate(names)]


def _telling(key: str, one: AskedSettings) -> bool:
    """Whether a name has to say a key: not an option of another engine, nor one that is as it is by default."""
    if key in _LEVELS and not one.get(key):
        return key == "load.concurrency" and not any(map(one.get, _LEVELS))
    section, _, option = key.partition(".")
    if section != "engine":
        return True
    table, _, own = option.partition(".")
    spec = SPECS.get(str(one.get("engine.name")))
    if own and spec is not None and spec.table != table:
        return False
    return one.get(key) != default_of(key)


def _in_force(key: str, one: AskedSettings) -> Setting | None:
    """What a key comes to: no concurrency beside no rate is one request at a time."""
    return 1 if key == "load.concurrency" and not one.get(key) else one.get(key)


def _counts(key: str) -> bool:
    """Whether a key makes another configuration, and not only another way to measure it."""
    return key.partition(".")[0] not in JUDGED and not key.startswith("measurement.")


def configuration(group: Group, name: str, cost: Callable[[Result], float | None]) -> Configuration:
    """The figures of a configuration, without a baseline."""
    result = group.chosen

    def figure(key: str) -> float | None:
        return metric_of(key).number(result)

    speed, low, high, over, count = throughput_of(group)
    return Configuration(
        name=name, runs=tuple(clean(one.id) for one in group.results), run=clean(result.id), against=against(result),
        throughput=speed, low=low, high=high, interval_over=over, observations=count, latency=figure("latency"),
        ttft=figure("ttft"), memory=figure("vram"), tokens_per_s_per_w=figure("tokens_per_s_per_w"),
        joules_per_token=figure("joules_per_token"), cost=cost(result),
    )  # fmt: skip


def throughput_of(group: Group) -> tuple[float | None, float | None, float | None, Rest, int]:
    """It, both ends of its interval, what that is over, and how many.

    Over runs where there are enough of them: processes differ by more than iterations do.
    """
    metric = metric_of("throughput")
    speeds = [value for result in group.valid if (value := metric.number(result))]
    if len(speeds) >= FEWEST and (mean := geometric_mean(speeds)) is not None:
        logs = [math.log(speed / mean) for speed in speeds]
        spread = math.sqrt(math.fsum(value * value for value in logs) / (len(logs) - 1))
        reach = math.exp(student_quantile((1 + CONFIDENCE) / 2, len(logs) - 1) * spread / math.sqrt(len(logs)))
        return mean, mean / reach, mean * reach, "runs", len(speeds)
    result = group.chosen
    low, high = metric_of("low").number(result), metric_of("high").number(result)
    within: Rest = "iterations" if result.load is None else "blocks"
    over: Rest = within if low is not None else ""
    return metric.number(result), low, high, over, result.summary.observations or result.summary.iterations or 0


def reasons_unlike(base: Group, group: Group) -> tuple[str, ...]:
    """Why the two are not one measurement with another setting."""
    return tuple(dict.fromkeys(clean(text) for text in unlike(base.chosen, group.chosen)))


def outcome_text(found: Ratio | None, equal_within: float) -> Outcome:
    """What is known of a throughput's ratio."""
    return "" if found is None else outcome_of(found, "higher", equal_within)
