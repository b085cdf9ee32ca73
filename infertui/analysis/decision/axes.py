"""Runs along one numeric setting, all else being equal: the series that curves and impacts are made of. Pure."""

from collections.abc import Iterable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from infertui.analysis.decision.configurations import Group, names_of
from infertui.config.sweep import short_name
from infertui.metrics.registry import metric_of
from infertui.metrics.varying import Variation, asked_of
from infertui.results.result import Result
from infertui.results.setup import JUDGED
from infertui.text import clean

_REPEATED = frozenset({"measurement"})
"""How long and how often something was measured makes no other thing of it."""


class AxisSeries(Struct, frozen=True):
    """Runs that differ in the setting `key` alone, by its value, one run each; `fixed` says what sets them apart from
    other series. `failed` are values at which no run finished.
    """

    key: str
    heading: str
    fixed: str
    points: tuple[tuple[float, Result], ...]
    failed: tuple[float, ...] = ()
    repeats: tuple[tuple[Result, ...], ...] = ()
    """All runs of each point."""

    @property
    def runs(self) -> tuple[str, ...]:
        """Their ids."""
        return tuple(clean(result.id) for _, result in self.points)


def swept_numbers(results: Iterable[Result], fewest: int = 3) -> list[str]:
    """The numeric keys by which names tell these runs apart, with so many values or more."""
    held = list(results)
    variation = Variation()
    for result in held:
        variation.take(result)
    return [
        one.key
        for one in variation.found()
        if one.swept and one.number and len({asked_of(result).get(one.key) for result in held}) >= fewest
    ]


def axis_series(results: Iterable[Result], key: str, fewest: int = 2) -> list[AxisSeries]:
    """A series for each group of runs that are the same but for `key`, with so many values of it or more.

    Where a value was measured several times, the last valid run counts, else the last that finished.
    """
    groups: dict[tuple[object, ...], list[Result]] = {}
    for result in results:
        if _number(result, key) is not None:
            groups.setdefault(_rest(result, key), []).append(result)
    series = []
    for group in groups.values():
        at: dict[float, Result] = {}
        same: dict[float, list[Result]] = {}
        for result in group:
            x = _number(result, key)
            if x is None:
                continue
            same.setdefault(x, []).append(result)
            if x not in at or _worth(result) >= _worth(at[x]):
                at[x] = result
        points = tuple((x, at[x]) for x in sorted(at) if _speed(at[x]))
        failed = tuple(x for x in sorted(at) if not _speed(at[x]))
        if len(points) >= fewest:
            repeats = tuple(tuple(same[x]) for x, _ in points)
            series.append(AxisSeries(key, short_name(key), "", points, failed, repeats))
    return _told_apart(series)


def _told_apart(series: Sequence[AxisSeries]) -> list[AxisSeries]:
    """Each with what sets it apart from the others, in words."""
    if len(series) < 2:
        return list(series)
    firsts = [one.points[0][1] for one in series]
    places = [tuple(str(metric_of(key).value(result) or "") for key in ("model", "device")) for result in firsts]
    told = [index for index in (0, 1) if len({place[index] for place in places}) > 1]
    words: dict[str, str] = {}
    for place in dict.fromkeys(places):
        here = [result for result, other in zip(firsts, places, strict=True) if other == place]
        names = names_of([Group((result,), result) for result in here], series[0].key)
        for result, name in zip(here, names, strict=True):
            apart = name if len(here) > 1 else ""
            words[result.id] = clean(" ".join(part for part in (*(place[index] for index in told), apart) if part))
    return [replace(one, fixed=words[result.id]) for one, result in zip(series, firsts, strict=True)]


def _number(result: Result, key: str) -> float | None:
    found = asked_of(result).get(key)
    return float(found) if isinstance(found, int | float) and not isinstance(found, bool) else None


def _rest(result: Result, key: str) -> tuple[object, ...]:
    """All that has to be the same: what was asked for beside `key`, and what ran on what."""
    asked = asked_of(result)
    values = sorted(
        (name, str(value))
        for name, value in asked.values.items()
        if name != key and name.partition(".")[0] not in JUDGED | _REPEATED
    )
    identity = [metric_of(name).value(result) for name in ("model", "engine", "device")]
    loaded = result.loaded
    return (asked.whole, tuple(values), *identity, loaded.engine if loaded else None, result.source)


def _speed(result: Result) -> float | None:
    return metric_of("throughput").number(result) if result.state == "finished" else None


def _worth(result: Result) -> int:
    return 2 if _speed(result) and result.verdict.valid else 1 if _speed(result) else 0
