"""What varies among runs: keys of their configs that are not the same in all, each of which is a column of tables.

A sweep is read by what it sweeps. Which keys that is follows from the runs shown: from what was asked for in each of
them, beside the defaults. Pure.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from infertui.integers import Whole
from infertui.metrics.metric import NOT_AVAILABLE, Metric
from infertui.metrics.registry import metrics
from infertui.metrics.units import COUNT, NUMBER, TEXT
from infertui.text import one_line

if TYPE_CHECKING:
    from infertui.results.result import Result

Setting: TypeAlias = bool | Whole | float | str
IDENTITY = ("model", "engine", "device")
"""Metrics that are a column wherever they are not the same in all runs."""
MOST_SWEPT = 8
MOST_OTHERS = 4
"""Runs that belong to no sweep may differ in anything: of more keys than these none is shown."""
_FEW = 2
"""Of so many keys each is shown as if it were swept."""
_LONGEST = 200
_MOST_KEYS = 64
_MOST_VALUES = 1000
_WIDE = 2**63
_UNTOLD = frozenset({"validity", "quality", "sweep"})
"""Tables that say nothing of what was measured; see `results.setup.JUDGED`, of which labels can be swept."""


class AskedSettings(Struct, frozen=True):
    """What was asked for in a run: the keys of its config that are not as by default.

    `swept` are those by which its name tells it from others, as in "bs=4 isl=128". Of a run that was imported `whole`
    is False: it holds what the file tells, and all else is not known.
    """

    values: dict[str, Setting] = {}
    swept: tuple[str, ...] = ()
    whole: bool = True

    def get(self, key: str) -> Setting | None:
        """The value of a key; None is not known."""
        found = self.values.get(key)
        if found is not None or not self.whole:
            return found
        default = _defaults().get(key)
        return default if isinstance(default, bool | int | float | str) else None


class Varied(Struct, frozen=True):
    """A key of configs, or of a metric of `IDENTITY`, of which runs have several values.

    `width` are the cells that the longest of these takes, `number` says that all of them are numbers, `swept` that
    names tell runs apart by it, or nothing else does.
    """

    key: str
    heading: str
    width: int
    number: bool
    swept: bool = False


def asked_of(result: "Result") -> AskedSettings:
    """What was asked for in a run."""
    whole, keys = result.setup.changed
    return asked(result.name, keys, whole=whole)


def asked(name: str, keys: Mapping[str, object], *, whole: bool) -> AskedSettings:
    """The same of a run of that name, of which `keys` are flat, and `whole` says that all others are as by default."""
    values: dict[str, Setting] = {}
    for key, value in keys.items():
        if key.partition(".")[0] in _UNTOLD or len(values) == _MOST_KEYS:
            continue
        if isinstance(value, bool | int | float | str):
            odd = isinstance(value, str) or not -_WIDE < value < _WIDE
            values[one_line(key, _LONGEST)] = one_line(value, _LONGEST) if odd else value
    heads = {part.partition("=")[0] for part in name.split() if "=" in part}
    # A key that is as by default in this run is told by its name all the same.
    swept = tuple(key for head in heads for key in _by_short_name().get(head, ()))
    swept += tuple(key for key in values if key.startswith("labels.") and key.removeprefix("labels.") in heads)
    return AskedSettings(values, tuple(sorted(set(swept))), whole)


class Variation:
    """Gathers the runs of a table, and tells what varies among them. It holds values, no runs."""

    def __init__(self) -> None:
        self._values: dict[str, dict[Setting, None]] = {}
        self._with: dict[str, int] = {}
        self._whole = 0
        self._swept: set[str] = set()
        self._identity: dict[str, dict[str, None]] = {}

    def add(self, asked: AskedSettings, identity: Mapping[str, str]) -> None:
        """Take in a run; `identity` are the values of `IDENTITY`, empty where they are not known."""
        self._whole += asked.whole
        self._swept.update(asked.swept)
        for key, value in asked.values.items():
            values = self._values.setdefault(key, {})
            if len(values) < _MOST_VALUES:
                values[value] = None
            self._with[key] = self._with.get(key, 0) + asked.whole
        for key, text in identity.items():
            if text:
                self._identity.setdefault(key, {})[text] = None

    def take(self, result: "Result", asked: AskedSettings | None = None) -> None:
        """Take in a run; `asked` where that was read already."""
        identity = {metric.key: str(metric.value(result) or "") for metric in metrics() if metric.key in IDENTITY}
        self.add(asked or asked_of(result), identity)

    def found(self) -> tuple[Varied, ...]:
        """What varies: the model, engine and device, then the keys in the order of the config."""
        by_key = {key: values for key in self._values if len(values := self._all(key)) > 1}
        swept = [key for key in by_key if key in self._swept]
        others = [key for key in by_key if key not in self._swept]
        if not swept and len(others) <= _FEW:  # what sets the runs apart, whatever their names say
            swept, others = others, []
        shown = {*swept[:MOST_SWEPT], *(others if len(others) <= MOST_OTHERS else ())}
        order = {key: at for at, key in enumerate(_defaults())}
        keys = sorted(shown, key=lambda key: (order.get(key, len(order)), key))
        texts = {key: list(values) for key, values in self._identity.items() if len(values) > 1}
        return (
            *(_varied(key, key, texts[key]) for key in IDENTITY if key in texts),
            *(_varied(key, _short_name(key), by_key[key], swept=key in swept) for key in keys),
        )

    def _all(self, key: str) -> list[Setting]:
        """Every value that it has in a run of which it is known."""
        values = self._values[key]
        default = _defaults().get(key)
        if self._with[key] < self._whole and isinstance(default, bool | int | float | str):
            return list({**values, default: None})
        absent = self._with[key] < self._whole and key.startswith("labels.")
        return [*values, *([""] if absent else [])]


def _varied(key: str, heading: str, values: Sequence[Setting], *, swept: bool = False) -> Varied:
    number = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    return Varied(key, heading, max(len(setting_text(value)) for value in values), number, swept)


def setting_text(value: Setting | None) -> str:
    """A value as tables show it; empty for what is not known."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def column_of(found: Varied) -> Metric:
    """The metric whose column tells it, else one that is made of it."""
    for metric in metrics():
        if metric.key == found.key or found.key in metric.settings:
            return metric
    return setting_metric(found.key, heading=found.heading, number=found.number)


def is_setting(name: str) -> bool:
    """Whether a name is that of a key of configs."""
    return "." in name and (name in _defaults() or (name.startswith("labels.") and name != "labels."))


def setting_metric(key: str, *, heading: str = "", number: bool = False) -> Metric:
    """A key of configs as a column of tables."""
    return Metric(
        key=key, label=heading or _short_name(key), help=f"{key} as asked for", unit=NUMBER if number else TEXT,
        read=lambda result: _plain(result.setup.get(key)),
        show=lambda result: setting_text(_plain(result.setup.get(key))) or NOT_AVAILABLE,
    )  # fmt: skip


def _plain(value: object) -> Setting | None:
    return value if isinstance(value, bool | int | float | str) else None


def with_varying(columns: Sequence[Metric], varied: Iterable[Varied]) -> list[Metric]:
    """`columns`, and those of what varies that none of them tells: which run it is, then its settings.

    The latter stand before the first figure that was measured.
    """
    told = {name for metric in columns for name in (metric.key, *metric.settings)}
    added = {
        metric.key: _kept(metric) if one.swept or one.key in IDENTITY else metric
        for one in varied
        if one.key not in told
        for metric in [column_of(one)]
    }
    identity = [metric for key, metric in added.items() if key in IDENTITY]
    settings = [metric for key, metric in added.items() if key not in IDENTITY]
    at = next((at for at, metric in enumerate(columns) if metric.measured and metric.unit != COUNT), len(columns))
    return [*columns[:1], *identity, *columns[1:at], *settings, *columns[at:]]


def _kept(metric: Metric) -> Metric:
    """The same, which gives way to little else where there is little room."""
    return replace(metric, text=replace(metric.text, rank=min(metric.text.rank, 1)))


def _short_name(key: str) -> str:
    from infertui.config.sweep import short_name  # not before there is a key to name

    return short_name(key)


@cache
def _defaults() -> dict[str, object]:
    """The default of every key, in the order of configs."""
    from infertui.config.fields import FIELDS

    return {path: field.default for path, field in FIELDS.items() if not field.is_table}


@cache
def _by_short_name() -> dict[str, tuple[str, ...]]:
    """The keys by what names of variants call them."""
    found: dict[str, tuple[str, ...]] = {}
    for key in _defaults():
        name = _short_name(key)
        found[name] = (*found.get(name, ()), key)
    return found
