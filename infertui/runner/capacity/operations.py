"""What a runner is asked about searches for a capacity in reports folders; those under way are entries of its queue."""

from infertui.runner.blocking import run_blocking
from infertui.runner.capacity.host import list_searches, read_search
from infertui.runner.capacity.state import CapacityView
from infertui.runner.control import RunnerApi


class CapacityOperations(RunnerApi):
    """The operations of `RunnerApi` that are about searches."""

    async def capacity(self, out: str, search: str) -> CapacityView:
        return await run_blocking(lambda: read_search(out, search))

    async def capacities(self, out: str) -> tuple[CapacityView, ...]:
        return await run_blocking(lambda: list_searches(out))
