"""What a kind of run does between its folder and its result: that of an engine in a worker, that of an endpoint."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from msgspec import Struct

from infertui.errors import StoreError
from infertui.results.result import Result
from infertui.results.runs import RunFolder, Store
from infertui.runner.execution.loading import WorkerSlot
from infertui.runner.execution.reporter import RunReporter
from infertui.runner.idle import IdlePower
from infertui.runner.telemetry import SampleRates
from infertui.telemetry.sampler import Sampler


class LeftBehind(Protocol):
    """What ends when it is closed."""

    async def close(self) -> None: ...


class LeftAtWork:
    """What a run leaves at work for the next one on its device, in a tuning session: one thing at most."""

    def __init__(self) -> None:
        self._left: LeftBehind | None = None

    def leave(self, what: LeftBehind) -> None:
        """Leave it for whoever takes it, or closes it."""
        self._left = what

    def take(self) -> LeftBehind | None:
        """What was left, which is the taker's now."""
        left, self._left = self._left, None
        return left

    async def close(self) -> None:
        """End it, if there is anything."""
        if (left := self.take()) is not None:
            await left.close()


class RunContext(Struct, frozen=True):
    """Where a run is executed: its folder, the machine's telemetry, the device's worker. `number` of `total` in its
    series. `make_room` ends idle workers that hold memory of its devices."""

    folder: RunFolder
    store: Store
    sampler: Sampler
    rates: SampleRates
    slot: WorkerSlot
    idle: IdlePower
    make_room: Callable[[], Awaitable[None]]
    reporter: RunReporter
    number: int
    total: int
    left: LeftAtWork | None = None
    """In a tuning session, where a loaded model may take options anew, and a load goes on from run to run."""

    @property
    def adapts(self) -> bool:
        """Whether it is a run of a tuning session."""
        return self.left is not None


class ConcludedError(Exception):
    """Raised by `execute` where it was to end before anything was measured; what is loaded can be used again."""


class RunKind(Protocol):
    """One run of a kind. Calls come in the order of the methods here, but for `conclude`, which may come at any moment;
    `settle` only where `execute` did not return, and did not raise `ConcludedError`."""

    def conclude(self) -> None:
        """Let `execute` end measuring at the next boundary, as if all was measured by then."""
        ...

    async def execute(self) -> None:
        """Prepare and measure. Raises InfertuiError for whatever keeps it from being measured."""
        ...

    def rates(self) -> tuple[float, ...]:
        """Tokens a second in equal parts of the time that is measured so far, of a load that has settled; else none."""
        ...

    async def settle(self) -> StoreError | None:
        """Stop at once, and keep what is complete; what could not be kept is returned."""
        ...

    async def ended(self) -> None:
        """It is over, be it cut off: what is still to be read of the machine is read, within seconds."""
        ...

    @property
    def complete(self) -> bool:
        """Whether all is measured, so that being cancelled takes nothing away."""
        ...

    @property
    def failure(self) -> str:
        """Why it failed though it came to its end, as all of its requests did; empty: it did not."""
        ...

    @property
    def heavy(self) -> bool:
        """Whether summing up takes so long that it is done in a thread."""
        ...

    def result(self, begun: Result) -> Result:
        """The result of a run of which `begun` says how it ended, and its phases."""
        ...

    async def judged(self, result: Result) -> Result:
        """With what other runs say of it."""
        ...
