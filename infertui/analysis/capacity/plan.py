"""What a config asks of a search, and what of it contradicts itself. Pure."""

from msgspec.structs import fields, replace

from infertui.analysis.capacity.observed import objectives
from infertui.analysis.capacity.search import LevelKind, SearchPlan
from infertui.config.endpoint import CapacityConfig
from infertui.config.schema import Config
from infertui.config.section import Section
from infertui.errors import ConfigError
from infertui.measure.load.slo import parse_slo

STAY_S, STAY_RATE_S = 10.0, 30.0
"""How long a stay is settled where that is not said: how long a queue is changes slowly where a server is nearly busy,
and short looks at it mislead."""
SEARCHED = (
    "load.concurrency", "load.request_rate", "load.ramp_s", "load.steps", "load.trace", "workload.num_prompts",
)  # fmt: skip
"""Keys that a search sets by itself, or has no use for."""


def is_search(config: Config) -> bool:
    """Whether it asks for a search, in place of a load at one level."""
    return config.capacity.by != "none"


def stay_of(asked: CapacityConfig) -> float:
    """Seconds for which a level has to be settled."""
    return asked.stay_s or (STAY_S if asked.by == "concurrency" else STAY_RATE_S)


def continued(config: Config, search: str) -> Config:
    """One that goes on with an earlier search, whose folder says all the rest."""
    return replace(config, capacity=replace(config.capacity, continues=search))


def check_search(config: Config) -> None:
    """Raise ConfigError for a key that would be without effect, or says the contrary of another."""
    asked = config.capacity
    if config.target.kind == "engine" or not is_search(config):
        why = "a server, and target.kind is engine" if is_search(config) else "a search, and capacity.by is none"
        for field in fields(asked):
            if getattr(asked, field.name) != field.default:
                raise ConfigError(f"capacity.{field.name}", f"is for {why}", remedy=f"Leave capacity.{field.name} out.")
        return
    plan_of(config)
    for key in SEARCHED:
        table, _, name = key.partition(".")
        section: Section = getattr(config, table)
        if getattr(section, name) != next(field.default for field in fields(section) if field.name == name):
            raise ConfigError(key, "is what a search changes by itself", remedy=f"Leave {key} out.")


def plan_of(config: Config) -> SearchPlan:
    """What is looked for, and how well. Raises ConfigError for levels that are none."""
    asked = config.capacity
    assert asked.by != "none"  # noqa: S101 (see is_search)
    kind: LevelKind = asked.by
    slo = parse_slo(config.load.slo)
    if not slo.terms:
        raise ConfigError(
            "load.slo", "is empty: a capacity is that up to which objectives are kept",
            remedy="Say what has to be kept, as in ttft.p95<500ms tpot.mean<30ms (--slo).",
        )  # fmt: skip
    least, most = asked.least, asked.most
    if most < least:
        raise ConfigError("capacity.most", f"is {most:g}, below capacity.least", allowed=f"{least:g} and above")
    start = asked.start or max(least, min(1.0, most))
    if not least <= start <= most:
        raise ConfigError("capacity.start", f"is {start:g}", allowed=f"from {least:g} to {most:g}")
    if kind == "concurrency":
        for name, level in (("start", start), ("least", least), ("most", most)):
            if level != int(level):
                raise ConfigError(
                    f"capacity.{name}", f"is {level:g}", allowed="whole numbers, as they are requests in flight"
                )
    return SearchPlan(
        kind,
        objectives(slo, asked.attainment),
        start=start,
        least=least,
        most=most,
        tolerance=asked.tolerance,
        most_stays=asked.max_stays,
        most_seconds=asked.max_seconds,
    )
