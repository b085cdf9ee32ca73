"""Looking at an earlier moment: which one, what is known of it, and asking the runner for what is not."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from infertui.errors import InfertuiError
from infertui.measure.clock import NS_PER_S

if TYPE_CHECKING:
    from infertui.runner.control import RunnerApi
    from infertui.runner.past.kept import RunnerPast
    from infertui.tui.state import ClientState

BLOCK_S = 600
"""The past is asked for in pieces of ten minutes, and the one before with each: charts look back."""
POINTS = 150
KEPT_S = 7200
_MOST_BLOCKS = 14
_GOOD_S = 30.0
"""The newest block grows: it is asked for anew after so long."""


class Rewind:
    """The moment that is shown. `living` is the mirror, which goes on; `ask` runs a coroutine, `draw` draws anew."""

    def __init__(
        self,
        living: "Callable[[], ClientState]",
        control: "Callable[[], RunnerApi]",
        *,
        ask: "Callable[[Coroutine[Any, Any, None]], object]",
        draw: Callable[[], None],
    ) -> None:
        self._living, self._control, self._ask, self._draw = living, control, ask, draw
        self._held: ClientState | None = None
        self._shown: ClientState | None = None
        self._blocks: dict[int, tuple[RunnerPast, float]] = {}
        self._asked: set[int] = set()
        self._failed: dict[int, float] = {}
        self._problem = ""
        self._oldest_ns = 0
        self.missing = ""
        """Why what is shown is not all that there is; empty: it is."""

    @property
    def shown(self) -> "ClientState | None":
        """The state that is shown in place of the one of now; None: it is now."""
        return self._shown

    @property
    def is_past(self) -> bool:
        """Whether it is an earlier moment that was chosen, and not the one at which the picture was held."""
        return self._shown is not None and self._shown is not self._held

    def hold(self) -> None:
        """Stand still at the newest moment."""
        from infertui.tui.rewind.moment import held

        living = self._living()
        newest = living.sample.t_ns if living.sample else 0
        self._held = self._shown = held(living, newest, time.time())

    def release(self) -> None:
        """Back to now."""
        self._held = self._shown = None
        self.missing = ""

    @property
    def behind_s(self) -> float | None:
        """Seconds from the moment that is shown to now; None where it is now, or not known."""
        newest = self._living().sample
        if self._shown is None or not self._shown.moment_ns or newest is None:
            return None
        return max(0.0, (newest.t_ns - self._shown.moment_ns) / NS_PER_S)

    @property
    def time_of_day(self) -> str:
        """Of that moment, where it is an earlier one, as `14:36:19`; empty: it is not, or not known."""
        behind = self.behind_s
        return time.strftime("%H:%M:%S", time.localtime(time.time() - behind)) if self.is_past and behind else ""

    def step(self, seconds: float) -> bool:
        """Move the moment; False: it would lie ahead of now, or nothing is known."""
        if self._shown is None:
            self.hold()
        newest = self._living().sample
        if self._shown is None or not self._shown.moment_ns or newest is None:
            return False
        wanted = self._shown.moment_ns + round(seconds * NS_PER_S)
        if wanted > newest.t_ns:
            return False
        self._show(max(wanted, self._oldest_ns, newest.t_ns - KEPT_S * NS_PER_S, 1))
        return True

    def _show(self, t_ns: int) -> None:
        from infertui.tui.rewind.moment import is_told, state_at

        newest = self._living().sample
        if newest is None:
            return
        if self._held is not None and t_ns == self._held.moment_ns:
            self._shown, self.missing = self._held, ""
            return
        wall = time.time() - (newest.t_ns - t_ns) / NS_PER_S
        block = t_ns // (BLOCK_S * NS_PER_S)
        known = [self._blocks[number][0] for number in (block - 1, block) if number in self._blocks]
        self._shown = state_at(self._living(), known, t_ns, wall)
        wanted = [number for number in (block, block - 1) if self._is_wanted(number)]
        if wanted:
            self._asked.update(wanted)
            self._ask(self._fetch(wanted))
        told = is_told(self._shown.samples, t_ns)
        self.missing = "" if told else "asking" if self._asked else self._problem or "not kept"

    def _is_wanted(self, number: int) -> bool:
        if number < 0 or number in self._asked:
            return False
        if time.monotonic() - self._failed.get(number, -_GOOD_S) < _GOOD_S:
            return False
        if number not in self._blocks:
            return (number + 1) * BLOCK_S * NS_PER_S > self._oldest_ns
        past, asked = self._blocks[number]
        whole = bool(past.samples) and past.samples[-1].t_ns >= ((number + 1) * BLOCK_S - 5) * NS_PER_S
        return not whole and time.monotonic() - asked > _GOOD_S

    async def _fetch(self, numbers: list[int]) -> None:
        """Ask for blocks, and show them if the moment still is in them."""
        for number in numbers:
            start = number * BLOCK_S * NS_PER_S
            try:
                past = await self._control().history(start, start + BLOCK_S * NS_PER_S - 1, POINTS)
            except (InfertuiError, OSError, EOFError) as error:
                self._problem = error.message if isinstance(error, InfertuiError) else "the runner did not answer"
                self._failed |= dict.fromkeys(numbers, time.monotonic())
                break
            finally:
                self._asked.discard(number)
            self._problem = ""
            self._oldest_ns = max(self._oldest_ns, past.oldest_ns)
            self._blocks[number] = past, time.monotonic()
            while len(self._blocks) > _MOST_BLOCKS:
                del self._blocks[min(self._blocks)]
            await asyncio.sleep(0)  # a key may have come
        self._asked.difference_update(numbers)
        shown = self._shown
        if shown is not None and shown.moment_ns and shown is not self._held:
            self._show(max(shown.moment_ns, self._oldest_ns))
            self._draw()
