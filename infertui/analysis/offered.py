"""Whether a load generator sent all that its server could take: what its file tells of the rate that was asked for."""

import math

from msgspec import Struct

from infertui.analysis.bottleneck import Finding
from infertui.results.result import Result
from infertui.units import format_number

MARGIN = 0.1
"""How far below the asked rate, as a share of it, the answered one may be where the server kept up.

Two things lower it though the server waits: the last requests are answered after all are sent, and the rate that was
drawn differs from the asked one by chance. A server whose limit lies in this tenth is taken for one that kept up; the
next, higher rate tells the two apart.
"""
FEWEST = 20
"""At even gaps n requests are sent in n - 1 of them: from here on that moves the rate by half the margin or so."""
_ERRORS = 2.0
"""Standard errors of the drawn rate that have to be within the margin, so that 95 % of what is drawn is."""


class Offered(Struct, frozen=True):
    """What a load generator was asked to send.

    `rate` is in requests per second. `variance` is that of the gaps between them over their squared mean: 0 for even
    gaps, 1 for a Poisson process, 1 / shape for gamma; the mean of n gaps has a relative standard error of
    sqrt(variance / n).
    """

    rate: float
    variance: float = 1.0

    @property
    def fewest(self) -> float:
        """Requests from which the drawn rate is near enough to the asked one: 400 of a Poisson process."""
        return max(FEWEST, self.variance * (_ERRORS / MARGIN) ** 2)


def offered(result: Result) -> Offered | None:
    """The rate that an imported file tells; None for a closed loop, or one that sends as fast as it can."""
    if not result.imported or result.loaded is None:
        return None
    told = result.loaded.details
    if strategy := told.get("strategy"):  # guidellm: `rate` is one of requests for these two alone
        rate = _positive(told.get("rate")) if strategy in ("constant", "poisson") else None
        return None if rate is None else Offered(rate, 0.0 if strategy == "constant" else 1.0)
    rate = _positive(told.get("request_rate"))
    if rate is None:
        return None
    if told.get("arrival_pattern") == "constant" or told.get("burstiness") in ("inf", "Infinity"):
        return Offered(rate, 0.0)
    shape = _positive(told.get("burstiness")) or _positive(told.get("arrival_smoothness"))
    return Offered(rate, 1.0 / shape if shape else 1.0)


def of_offered_load(result: Result) -> Finding | None:
    """That the client was the limit, by the rate of the answers; None where it was not, or that cannot be told.

    More answers than requests were asked for contradict the asked rate: then nothing is told either.
    """
    asked, summary = offered(result), result.summary
    if asked is None or not (result.knows("summary.requests") and result.knows("summary.measured_s")):
        return None
    good = summary.requests - summary.failed
    if good < asked.fewest or summary.measured_s <= 0:
        return None
    answered = good / summary.measured_s
    if not (1 - MARGIN) * asked.rate <= answered <= (1 + MARGIN) * asked.rate:
        return None
    return Finding(
        "client",
        f"requests were sent at {_rate(asked.rate)} and {_rate(answered)} were answered:"
        " the server was not at its limit",
        "a higher request rate (or inf), until the answered rate stays behind",
    )


def _rate(value: float) -> str:
    return f"{int(value) if value == int(value) else format_number(value)}/s"


def _positive(text: str | None) -> float | None:
    """A finite figure above zero, of what anybody may have written; None for anything else."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if 0 < value < math.inf else None
