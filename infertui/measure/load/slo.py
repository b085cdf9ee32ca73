"""Objectives for latencies (SLO), as they are typed: ttft.p99<200ms tpot.mean<20ms, or as vLLM has them, ttft:200."""

import math
import re
from typing import Literal, get_args

from msgspec import Struct

from infertui.errors import ConfigError
from infertui.text import quoted

KEY = "load.slo"
Latency = Literal["ttft", "ttfo", "tpot", "itl", "e2e"]
"""What a term is about. Words of results."""
Statistic = Literal["", "mean", "p50", "p90", "p95", "p99"]
"""Of all requests of a window; empty: each request by itself."""
LATENCIES: tuple[Latency, ...] = get_args(Latency)
STATISTICS: tuple[Statistic, ...] = get_args(Statistic)
_ALIASES: dict[str, Latency] = {
    "e2el": "e2e",
    "latency": "e2e",
    "request_latency": "e2e",
    "time_to_first_token": "ttft",
    "time_to_first_output_token": "ttfo",
    "time_per_output_token": "tpot",
    "inter_token_latency": "itl",
}
_UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6}
MOST_TERMS = 16
_MOST_CHARACTERS = 1000
LONGEST_S = 31_536_000.0
_ALLOWED = (
    f"{', '.join(LATENCIES)}, each alone (of every request) or with .mean, .p50, .p90, .p95 or .p99, "
    "then < or <= and a time in s, ms or us; or name:ms"
)
_TERM = re.compile(
    r"(?P<name>[^\s<:=.,]*)(?:\.(?P<statistic>[^\s<:=,]*))?\s*(?P<than><=|<|:)?\s*"
    r"(?P<number>[0-9]*\.?[0-9]*(?:[eE][-+]?[0-9]+)?)"
    r"(?:(?P<unit>[^\s<:=.,0-9]+)|\s+(?P<apart>s|ms|us|µs|μs)(?=[\s,]|$))?"
)
_BETWEEN = re.compile(r"[\s,]*")


class SloTerm(Struct, frozen=True):
    """One objective: a latency, or a statistic of it, is below `limit_s` seconds, or at most so many with `equal`.

    A request is good by its own value, whichever statistic the term names: its own mean or percentile of gaps for
    `itl` with one, and its longest gap without. The statistic itself is held against the limit over a window.
    """

    latency: Latency
    statistic: Statistic
    limit_s: float
    equal: bool = False

    @property
    def name(self) -> str:
        """As in ttft.p99, or ttft of every request."""
        return f"{self.latency}.{self.statistic}" if self.statistic else self.latency

    @property
    def text(self) -> str:
        """As it can be typed."""
        than = "<=" if self.equal else "<"
        for unit, size in (("s", 1.0), ("ms", 1e-3)):
            if self.limit_s >= size:
                return f"{self.name}{than}{_number(self.limit_s / size)}{unit}"
        return f"{self.name}{than}{_number(self.limit_s / 1e-6)}us"

    def kept(self, seconds: float) -> bool:
        """Whether such a value keeps it."""
        return seconds <= self.limit_s if self.equal else seconds < self.limit_s


class Slo(Struct, frozen=True):
    """All objectives of a run, each of which has to be kept; without any there is none."""

    terms: tuple[SloTerm, ...] = ()

    @property
    def text(self) -> str:
        """As it can be typed."""
        return " ".join(term.text for term in self.terms)


def parse_slo(text: str) -> Slo:
    """What is meant by such a text; blanks and commas are between terms. Raises ConfigError."""
    if len(text) > _MOST_CHARACTERS:
        raise _wrong(f"{len(text)} characters are too many for objectives")
    terms: list[SloTerm] = []
    at = _end(_BETWEEN.match(text), 0)
    while at < len(text):
        found = _TERM.match(text, at)
        end = _end(found, at)
        following = _end(_BETWEEN.match(text, end), end)
        if found is None or end == at or (following == end and end < len(text)):
            raise _wrong(f"{_told(text[at:])} is no objective")
        term = _term(found)
        if any(term.name == other.name for other in terms):
            raise _wrong(f"{term.name} has two limits")
        terms.append(term)
        at = following
    if len(terms) > MOST_TERMS:
        raise _wrong(f"{len(terms)} objectives are more than {MOST_TERMS}")
    return Slo(tuple(terms))


def _term(found: re.Match[str]) -> SloTerm:
    whole, name, statistic = found.group(0), found["name"].lower(), (found["statistic"] or "").lower()
    latency = _ALIASES.get(name, name)
    known = next((each for each in LATENCIES if each == latency), None)
    if known is None:
        raise _wrong(f"{_told(whole)}: there is no latency {_told(name)}")
    wanted = "p50" if statistic == "median" else statistic
    over = next((each for each in STATISTICS if each == wanted), None)
    if over is None or (not statistic and found["statistic"] is not None):
        raise _wrong(f"{_told(whole)}: there is no statistic {_told(statistic)}")
    if not found["than"]:
        raise _wrong(f"{_told(whole)} has no limit")
    unit = (found["unit"] or found["apart"] or "").lower() or ("ms" if found["than"] == ":" else "")
    try:
        value = float(found["number"])
    except ValueError:
        raise _wrong(f"{_told(whole)} has no limit") from None
    if unit not in _UNITS:
        raise _wrong(f"{_told(whole)} has no unit" if not unit else f"{_told(whole)}: {_told(unit)} is no unit")
    limit = value * _UNITS[unit]
    if not 0 < limit <= LONGEST_S:
        raise _wrong(f"{_told(whole)}: the limit has to be above 0 and at most a year")
    return SloTerm(known, over, limit, found["than"] == "<=")


def _end(found: re.Match[str] | None, otherwise: int) -> int:
    return found.end() if found else otherwise


def _number(value: float) -> str:
    rounded = round(value, 9)
    return f"{rounded:g}" if math.isclose(float(f"{rounded:g}"), value, rel_tol=1e-12) else repr(value)


def _told(text: str) -> str:
    return quoted(text, 40)


def _wrong(problem: str) -> ConfigError:
    return ConfigError(KEY, problem, allowed=_ALLOWED)
