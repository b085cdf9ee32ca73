"""What a runner is asked about tuning sessions, handed on to those that it hosts."""

from infertui.runner.control import RunnerApi
from infertui.runner.tuning.host import TuningSessions
from infertui.runner.tuning.state import TuningRequest


class TuningOperations(RunnerApi):
    """The operations of `RunnerApi` that are about tuning sessions."""

    def __init__(self, tunings: TuningSessions) -> None:
        self._tunings = tunings

    async def begin_tuning(self, request: TuningRequest) -> str:
        self._tunings.beginning += 1
        try:
            return await self._tunings.begin(request)
        finally:
            self._tunings.beginning -= 1

    async def turn(self, tuning: str, changes: dict[str, str]) -> None:
        await self._tunings.turn(tuning, changes)

    async def undo_turn(self, tuning: str) -> None:
        self._tunings.undo(tuning)

    async def mark_segment(self, tuning: str, segment: int) -> None:
        self._tunings.mark(tuning, segment)

    async def climb(self, tuning: str, key: str, budget_s: float) -> None:
        self._tunings.climb(tuning, key, budget_s)

    async def pin_segment(self, tuning: str, segment: int) -> str:
        return await self._tunings.pin(tuning, segment)

    async def allow_gpu_settings(self, tuning: str) -> None:
        await self._tunings.allow(tuning)

    async def end_tuning(self, tuning: str) -> None:
        self._tunings.end(tuning)
