"""How objectives were kept: by each request, and by the statistics of all."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from infertui.measure.load.columns import Columns, latency_name
from infertui.measure.load.estimates import GapBlocks, share_interval, share_of
from infertui.measure.load.figures import TermFigures, TermVerdict
from infertui.measure.load.slo import Slo, SloTerm
from infertui.measure.statistics import Distribution, Interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]


class SloOutcome:
    """Which requests kept all objectives, and which are known not to have; failed ones kept none.

    `from_due`: latencies count from when a request was due, as its user waits from then on; else from when it was sent.
    """

    def __init__(self, columns: Columns, slo: Slo, *, from_due: bool = False) -> None:
        import numpy as np

        self._from_due = from_due
        self._failed = columns.failed
        owns = {term: columns.own(term, from_due=from_due) for term in slo.terms}
        self._own = {term: np.where(columns.good, own, np.nan) for term, own in owns.items()}
        self._kept = {term: _kept(term, own) for term, own in self._own.items()}
        self.kept: Flags = columns.good.copy()
        self.broken: Flags = columns.failed.copy()
        for term, own in self._own.items():
            self.kept &= self._kept[term]
            self.broken |= np.isfinite(own) & ~self._kept[term]

    def term(
        self,
        term: SloTerm,
        here: "Flags",
        gaps: GapBlocks,
        spreads: "dict[str, tuple[Distribution | None, dict[str, Interval]]]",
    ) -> TermFigures:
        """One objective, over requests that ended `here`."""
        import numpy as np

        own, kept = self._own[term][here], self._kept[term][here]
        judged = self._failed[here] | np.isfinite(own)
        figures = TermFigures(
            term=term.text,
            limit=term.limit_s,
            attainment=share_of(kept[judged]),
            attainment_interval=share_interval(kept[judged]) if judged.any() else None,
            undetermined=int((~judged).sum()),
        )
        if not term.statistic:
            return figures
        if term.latency == "itl":
            value, interval = gaps.statistic(term.statistic)
        else:
            whole, intervals = spreads[latency_name(term.latency, from_due=self._from_due)]
            interval = intervals.get(term.statistic)
            tells = whole is not None and term.statistic in ("mean", *whole.supported)
            value = getattr(whole, term.statistic) if tells else None
        over = np.isfinite(own) & ~kept
        verdict = _by_share(term, over[np.isfinite(own)]) if _is_percentile(term) else _by_interval(term, interval)
        return msgspec.structs.replace(
            figures,
            value=value,
            interval=interval,
            verdict=verdict,
            use=None if value is None else value / term.limit_s,
        )


def _is_percentile(term: SloTerm) -> bool:
    """Of a latency that a request has one of."""
    return term.statistic.startswith("p") and term.latency != "itl"


def _by_interval(term: SloTerm, interval: Interval | None) -> TermVerdict:
    if interval is None:
        return "unclear"
    if interval.high < term.limit_s:
        return "met"
    return "missed" if interval.low > term.limit_s else "unclear"


def _by_share(term: SloTerm, over: "Flags") -> TermVerdict:
    """By the share of requests beyond the limit, which tells of few requests that a percentile is missed by far."""
    allowed = 1 - int(term.statistic.removeprefix("p")) / 100
    share = share_interval(over) if len(over) else None
    if share is None:
        return "unclear"
    if share.high < allowed:
        return "met"
    return "missed" if share.low > allowed else "unclear"


def _kept(term: SloTerm, own: "Floats") -> "Flags":
    import numpy as np

    with np.errstate(invalid="ignore"):
        return np.asarray(own <= term.limit_s if term.equal else own < term.limit_s)


def binding(terms: Sequence[TermFigures]) -> str:
    """The objective whose statistic is nearest to its limit, or furthest beyond; else the one that fewest kept."""
    used = [(one.use, one.term) for one in terms if one.use is not None]
    if used:
        return max(used)[1]
    attained = [(one.attainment, one.term) for one in terms if one.attainment is not None]
    return min(attained)[1] if attained else ""
