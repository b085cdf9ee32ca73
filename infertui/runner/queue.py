"""The queue: entries in their order, every change kept and told."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from msgspec.structs import replace

from infertui.config.sweep import Variant
from infertui.errors import StoreError, UsageError
from infertui.runner.control import AnyQueueEvent, EntriesOrdered, EntryChanged, PausedChanged, Submission
from infertui.store.queue import ENDED, Duration, Entry, EntryState, QueueStore
from infertui.store.result import Result

Place = Callable[[Entry], Entry]
"""Says on which lane an entry will run, and for how long."""


def stamp() -> str:
    """Now, as entries and results write it."""
    return datetime.now().astimezone().isoformat(timespec="milliseconds")


def settled(entry: Entry, result: Result | None, *, state: EntryState, reason: str) -> Entry:
    """The entry when it has ended. `reason` counts unless the result says that it finished, or names its own."""
    if result is not None and state == "finished":
        reason = ""
    elif result is not None and result.error:
        reason = result.error.message
    return replace(
        entry,
        state=state,
        reason=reason,
        ended=stamp(),
        throughput=result.summary.output_throughput if result else None,
        valid=result.verdict.valid if result else None,
    )


class Queue:
    """Entries in the order in which they run; ended ones stay where they were.

    What a user asks for is kept before it is told, and raises StoreError where it cannot be kept. What the runner finds
    out is told in any case.
    """

    def __init__(self, store: QueueStore, *, place: Place, tell: Callable[[AnyQueueEvent], None]) -> None:
        self._store = store
        self._place = place
        self._tell = tell
        self._entries = {entry.id: entry for entry in store.entries()}
        self._paused = store.paused
        self.faults: list[str] = [store.note] if store.note else []

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All, in order."""
        return tuple(self._entries.values())

    @property
    def waiting(self) -> list[Entry]:
        """Those that wait, in order."""
        return [entry for entry in self._entries.values() if entry.state == "queued"]

    @property
    def paused(self) -> bool:
        """Whether nothing further is started."""
        return self._paused

    @paused.setter
    def paused(self, paused: bool) -> None:
        if paused != self._paused:
            self._store.paused = paused
            self._paused = paused
            self._tell(PausedChanged(paused))

    def get(self, entry: int) -> Entry:
        """The entry of that id. Raises UsageError where there is none."""
        try:
            return self._entries[entry]
        except KeyError:
            raise UsageError(f"there is no entry {entry} in the queue") from None

    def submit(self, submission: Submission) -> tuple[int, ...]:
        """Queue configs, as one group; their ids."""
        if not submission.variants:
            raise UsageError("nothing to queue: the submission holds no config")
        now = stamp()
        ids = [self._store.next_id() for _ in submission.variants]
        new = [
            self._place(
                Entry(
                    id=number,
                    group=ids[0],
                    title=submission.title,
                    name=variant.name,
                    config=variant.config,
                    out=submission.out,
                    submitted=now,
                )
            )
            for number, variant in zip(ids, submission.variants, strict=True)
        ]
        front = next((entry.id for entry in self.waiting), None) if submission.front else None
        self._insert(new, before=front)
        return tuple(ids)

    def copy(self, ids: Sequence[int], *, behind: bool) -> tuple[int, ...]:
        """Queue entries once more: right behind the last of them, or at the end; the new ids."""
        originals = [self.get(number) for number in ids]
        groups: dict[int, int] = {}
        now = stamp()
        new = []
        for original in originals:
            number = self._store.next_id()
            group = groups.setdefault(original.group, number)
            fresh = Entry(
                id=number,
                group=group,
                title=original.title,
                name=original.name,
                config=original.config,
                out=original.out,
                submitted=now,
            )
            new.append(self._place(fresh))
        order = list(self._entries)
        last = max((order.index(number) for number in ids), default=len(order) - 1)
        self._insert(new, before=order[last + 1] if behind and last + 1 < len(order) else None)
        return tuple(entry.id for entry in new)

    def edit(self, number: int, variant: Variant) -> None:
        """Put another config into a waiting entry."""
        entry = self.get(number)
        if entry.state != "queued":
            raise UsageError(f"entry {number} is {entry.state}: only a waiting one can be edited")
        self.keep(self._place(replace(entry, name=variant.name, config=variant.config)))

    def move(self, ids: Sequence[int], by: int) -> None:
        """Move waiting entries among those that wait; together they keep their order."""
        chosen = {self.get(number).id for number in ids}
        waiting = [entry.id for entry in self.waiting]
        if not chosen <= set(waiting):
            raise UsageError("only waiting entries can be moved")
        line = waiting if by < 0 else waiting[::-1]
        for _ in range(min(abs(by), len(line))):
            for at in range(1, len(line)):
                if line[at] in chosen and line[at - 1] not in chosen:
                    line[at - 1], line[at] = line[at], line[at - 1]
        moved = iter(line if by < 0 else line[::-1])
        places = set(waiting)
        self._reorder([next(moved) if number in places else number for number in self._entries])

    def end_waiting(self, ids: Iterable[int], state: EntryState) -> None:
        """Take waiting entries out of the line, marked with `state`."""
        ended = stamp()
        for number in ids:
            self.keep(replace(self.get(number), state=state, ended=ended))

    def remove(self, ids: Iterable[int]) -> None:
        """Forget entries that wait or have ended."""
        chosen = {self.get(number).id for number in ids}
        if any(self._entries[number].state == "running" for number in chosen):
            raise UsageError("a running entry cannot be removed", remedy="Cancel it first.")
        self._reorder([number for number in self._entries if number not in chosen])

    def clear(self) -> None:
        """Forget all that have ended."""
        self.remove([entry.id for entry in self._entries.values() if entry.state in ENDED])

    def keep(self, entry: Entry) -> None:
        """Replace an entry. Raises StoreError, and then nothing has changed."""
        self._store.put([entry])
        self._entries[entry.id] = entry
        self._tell(EntryChanged(entry))

    def note(self, entry: Entry) -> None:
        """Replace an entry by what has become of it: that is so, whether it can be kept or not."""
        try:
            self._store.put([entry])
        except StoreError as error:
            self.faults.append(error.message)
        self._entries[entry.id] = entry
        self._tell(EntryChanged(entry))

    def learn(self, duration: Duration) -> None:
        """Keep how long a run took, if that can be kept."""
        try:
            self._store.add_duration(duration)
        except StoreError as error:
            self.faults.append(error.message)

    def _insert(self, new: Sequence[Entry], *, before: int | None) -> None:
        self._store.put(new)
        order = list(self._entries)
        at = order.index(before) if before is not None else len(order)
        order[at:at] = [entry.id for entry in new]
        self._entries |= {entry.id: entry for entry in new}
        for entry in new:
            self._tell(EntryChanged(entry))
        if before is not None:
            self._reorder(order)

    def _reorder(self, ids: Sequence[int]) -> None:
        self._store.order(ids)
        self._entries = {number: self._entries[number] for number in ids}
        self._tell(EntriesOrdered(tuple(ids)))
