"""What happened a second in a window, without the bias of its edges: parts of a request count by their times."""

from typing import TYPE_CHECKING

from infertui.measure.load.columns import Columns
from infertui.measure.load.estimates import BLOCKS, spread_over
from infertui.measure.load.figures import Window
from infertui.measure.statistics import Interval, ratio_bounds

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]


class Rates:
    """Of a window: `ended` are the requests that ended in it, `done` those of them that did not fail.

    `horizon` is when the load fell from its level. Where it never settled a request counts when it ends: one that waits
    in a queue that grows is no part of what is done.
    """

    def __init__(
        self,
        columns: Columns,
        window: Window,
        ended: Columns,
        done: Columns,
        horizon: float,
        *,
        settled: bool = True,
        blocks: int = BLOCKS,
    ) -> None:
        import numpy as np

        self._all, self._window, self._ended, self._done = columns, window, ended, done
        self._edges = np.linspace(window.start, window.end, max(1, min(blocks, len(done))) + 1)
        self._settled = settled
        self._through = _ends_at_level(columns, done, horizon)

    def rate(self, blocks: "Floats | None") -> tuple[float | None, Interval | None]:
        """A second, of what was in each block of the window."""
        seconds = self._window.seconds
        if blocks is None or seconds <= 0:
            return None, None
        width = seconds / len(blocks)
        return float(blocks.sum()) / seconds, ratio_bounds(blocks.tolist(), [width] * len(blocks)).interval

    def requests(self, masses: "Floats", of_aborted: float) -> "Floats":
        """Requests of such masses, spread over the time for which each was under way at this load."""
        import numpy as np

        columns = self._all
        if not self._settled:
            return spread_over(columns.end, columns.end, np.where(columns.aborted, 0.0, masses), self._edges)
        return spread_over(columns.sent, self._through, np.where(columns.aborted, of_aborted, masses), self._edges)

    def tokens(self) -> "Floats | None":
        """Those of each block by their times; None where they are not known of one that was done."""
        import numpy as np

        columns = self._all
        known = known_tokens(self._done)
        if not len(known) or np.isnan(known).any():
            return None
        used = columns.good | columns.aborted
        timed = used & np.isfinite(columns.first) & np.isfinite(columns.last)
        first = columns.where(timed)
        blocks = spread_over(first.first, first.first, first.first_tokens, self._edges)
        blocks = blocks + spread_over(first.first, first.last, first.tokens - first.first_tokens, self._edges)
        # Answers at once tell of no times, nor how far one was that was ended; of others, what had come is known.
        at_once = used & ~timed
        unknown = 0.0 if np.isfinite(self._done.first).any() else float(known.mean())
        masses = np.where(columns.aborted, unknown, columns.tokens)[at_once]
        return blocks + spread_over(columns.sent[at_once], self._through[at_once], masses, self._edges)

    def prompt_tokens(self) -> "Floats | None":
        """Those of each block, spread over the time until the first token; None where they are not known."""
        import numpy as np

        columns, known = self._all, self._done.prompt_tokens
        if not len(known) or np.isnan(known).any():
            return None
        used = columns.good | columns.aborted
        ends = np.where(np.isfinite(columns.first), columns.first, self._through)
        starts = columns.sent if self._settled else ends
        masses = np.where(np.isfinite(columns.prompt_tokens), columns.prompt_tokens, float(known.mean()))
        return spread_over(starts[used], ends[used], masses[used], self._edges)

    def in_flight(self) -> float | None:
        """The mean over the window."""
        columns = self._all
        if self._window.seconds <= 0:
            return None
        within = spread_over(columns.sent, columns.end, columns.end - columns.sent, self._edges)
        return float(within.sum()) / self._window.seconds

    def littles_ratio(self) -> float | None:
        """In flight over rate times time, of all requests, whether they failed or not."""
        import numpy as np

        in_flight = self.in_flight()
        if in_flight is None or not len(self._ended):
            return None
        rate = float(spread_over(self._all.sent, self._through, np.ones(len(self._all)), self._edges).sum())
        expected = rate / self._window.seconds * float((self._ended.end - self._ended.sent).mean())
        return in_flight / expected if expected > 0 else None


def known_tokens(columns: Columns) -> "Floats":
    """NaN where nobody counted them."""
    import numpy as np

    return np.where(columns.tokens > 0, columns.tokens, np.nan)


def _ends_at_level(columns: Columns, done: Columns, horizon: float) -> "Floats":
    """When requests would have ended that were under way when the load fell, which hastened or ended them.

    Of those that were done at this load and took longer than such a request so far, the mean of 1 / time tells which
    share of it is over, without bias.
    """
    import numpy as np

    ends = columns.end.copy()
    times = np.sort(done.end - done.sent)
    cut = (columns.aborted | (columns.end > horizon)) & (columns.sent < columns.end)
    if not len(times) or times[0] <= 0 or not cut.any():
        return ends
    longest_first = np.cumsum(1 / times[::-1]) / np.arange(1, len(times) + 1)
    ages = np.minimum(columns.end[cut], horizon) - columns.sent[cut]
    longer = len(times) - np.searchsorted(times, ages, side="right")
    inverse = np.where(longer > 0, longest_first[np.maximum(longer, 1) - 1], 0.0)
    own = columns.end[cut] - columns.sent[cut]
    ends[cut] = columns.sent[cut] + np.divide(1.0, inverse, out=own, where=(inverse > 0) & (ages > 0))
    return ends
