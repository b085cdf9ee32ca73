"""What the user gives to work out a cost: prices, a load, a budget. With the forms in which they are typed. Pure."""

import re

from msgspec import Struct

from infertui.errors import UsageError
from infertui.text import clean, shorten
from infertui.units import format_number

PUE = 1.56
PUE_SOURCE = "the Uptime Institute's survey of 2024 found 1.56 on average"
HEADROOM = 0.2
_LOAD = re.compile(
    r"([0-9][0-9,_]*(?:\.[0-9]+)?)\s*([kM]?)\s*(tok/s|tokens/s|tps|req/s|requests/s|rps)?", re.IGNORECASE
)
_PERCENT = re.compile(r"([+-]?[0-9]+(?:\.[0-9]+)?)\s*%")


class Load(Struct, frozen=True):
    """What has to be served: generated tokens a second, or requests like the run's."""

    value: float
    requests: bool = False

    def __str__(self) -> str:
        return f"{format_number(self.value)} {'req/s' if self.requests else 'tok/s'}"


class Terms(Struct, frozen=True):
    """What the user gives. None or empty: as listed, or not asked for. `budget` is a month's."""

    gpu_hour: float | None = None
    currency: str = ""
    electricity: float | None = None
    pue: float = PUE
    load: Load | None = None
    headroom: float = HEADROOM
    budget: float | None = None


def parse_load(text: str) -> Load:
    """`2000 tok/s`, `20k tok/s`, `5 req/s`; without a unit tokens. Raises UsageError."""
    match = _LOAD.fullmatch(text.strip())
    value = float(match[1].replace(",", "").replace("_", "")) if match else 0.0
    if match is None or not 0 < value < 1e12:
        raise UsageError(
            f"the load {shorten(clean(text), 80)!r} is not understood",
            remedy='Write it like "2000 tok/s" or "5 req/s".',
        )
    value *= {"k": 1e3, "m": 1e6}.get(match[2].lower(), 1)
    return Load(value, requests=(match[3] or "tok/s").lower() in ("req/s", "requests/s", "rps"))


def parse_percent(text: str, name: str, *, low: float, high: float) -> float:
    """`40%` as 0.4, from `low` to below `high`. Raises UsageError that names the option."""
    match = _PERCENT.fullmatch(text.strip())
    share = float(match[1]) / 100 if match else high
    if not low <= share < high:
        raise UsageError(
            f"{name}: {shorten(clean(text), 80)!r} is not understood; allowed: {low:.0%} to less than {high:.0%}",
            remedy=f'Write it like {name} "40%".',
        )
    return share
