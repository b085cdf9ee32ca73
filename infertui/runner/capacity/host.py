"""The searches of a runner: made of entries of its queue, told of, read back from their folders."""

from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec.structs import replace

from infertui.analysis.capacity.boundary import Boundary
from infertui.analysis.capacity.outcome import outcome_of
from infertui.analysis.capacity.plan import continued, is_search
from infertui.config.schema import Config
from infertui.config.sweep import Variant
from infertui.errors import UsageError
from infertui.runner.capacity.folder import RECORD, CapacityFolder, folders_in
from infertui.runner.capacity.run import CapacityRun
from infertui.runner.capacity.state import CapacityView, StayLive, shown_stays
from infertui.runner.control import AnyQueueEvent, CapacityChanged, CapacityMeasured
from infertui.runner.events import AnyRunEvent
from infertui.runner.scheduling.queue_store import Entry
from infertui.runner.telemetry import SampleRates
from infertui.telemetry.sampler import Sampler
from infertui.text import clean

MOST_ENDED = 8
"""Searches that are still told of after they ended; the others are in their folders."""
MOST_LISTED = 500


class CapacitySearches:
    """Those of one runner since it began."""

    def __init__(
        self, sampler: Sampler, *, emit: Callable[[AnyRunEvent], None], tell: Callable[[AnyQueueEvent], None]
    ) -> None:
        self._sampler, self._emit, self._tell = sampler, emit, tell
        self._views: dict[str, CapacityView] = {}

    @property
    def views(self) -> tuple[CapacityView, ...]:
        """Those under way, and the last that ended."""
        return tuple(self._views.values())

    def make(self, variant: Variant, out: Path, rates: SampleRates, *, number: int, total: int) -> CapacityRun:
        """The search that an entry asks for. Raises UsageError and StoreError."""
        return CapacityRun(
            variant,
            out,
            sampler=self._sampler,
            rates=rates,
            emit=self._emit,
            told=self._told,
            measured=self._measured,
            number=number,
            total=total,
        )

    def _told(self, view: CapacityView) -> None:
        self._views.pop(view.id, None)
        self._views[view.id] = view
        ended = [one.id for one in self._views.values() if one.status == "ended"]
        for name in ended[:-MOST_ENDED]:
            del self._views[name]
        self._tell(CapacityChanged(view))

    def _measured(self, search: str, live: StayLive, boundary: Boundary) -> None:
        self._views[search] = replace(self._views[search], live=live, boundary=boundary)
        self._tell(CapacityMeasured(search, live, boundary))


def read_search(out: str, search: str) -> CapacityView:
    """One from its folder, with what is known by its stays. Raises UsageError and StoreError."""
    if "/" in search:
        raise UsageError(f"{clean(search)[:100]} is no name of a search")
    return view_of(CapacityFolder.open(Path(out), search))


def list_searches(out: str) -> tuple[CapacityView, ...]:
    """Those of a reports folder without their stays, the newest first."""
    found = folders_in(Path(out))[:MOST_LISTED]
    return tuple(CapacityView(folder.path.name, str(folder.path.absolute()), folder.record) for folder in found)


def going_on(entries: Sequence[Entry]) -> dict[int, Config]:
    """Of entries that are queued once more the configs of searches that had not come to their end: they go on."""
    found = {}
    for entry in entries:
        search = entry.config.capacity.continues or entry.run
        cut_off = is_search(entry.config) and entry.state != "finished" and search
        if cut_off and (Path(entry.out) / search / RECORD).exists():
            found[entry.id] = continued(entry.config, search)
    return found


def view_of(folder: CapacityFolder) -> CapacityView:
    """As its files tell it. One that was killed tells what its stays come to."""
    stays = folder.stays(lambda _: None)
    record, plan = folder.record, folder.record.plan
    known = record.outcome
    if stays and (known is None or known.stays != len(stays)):
        folder.record = record = folder.with_outcome(outcome_of(plan, stays, "interrupted"))
    return CapacityView(
        id=folder.path.name,
        folder=str(folder.path.absolute()),
        record=record,
        stays=shown_stays(plan, stays),
        boundary=record.outcome.boundary if record.outcome else Boundary(),
    )
