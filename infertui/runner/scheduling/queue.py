"""The queue: what may enter it, its order, every change kept and told.

Whether an entry can run is looked at by `runner/scheduling/vetting.py`.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import msgspec
from msgspec.structs import replace

from infertui.config.parse import decode
from infertui.config.ranges import MAX_POINTS
from infertui.config.schema import Config, SweepConfig
from infertui.config.sweep import Place, Variant
from infertui.errors import InfertuiError, StoreError, UsageError
from infertui.metrics.marks import telling, why
from infertui.results.result import Result
from infertui.runner.control import AnyQueueEvent, EntriesOrdered, EntryChanged, PausedChanged, Submission
from infertui.runner.scheduling.queue_store import ENDED, Duration, Entry, EntryState, QueueStore
from infertui.text import clean, quoted

Placer = Callable[[Sequence[Entry]], list[Entry]]
"""Says on which lanes entries will run, and for how long."""


def in_a_line(error: InfertuiError) -> str:
    """What is wrong and what can be done, as it is kept with an entry."""
    return clean(". ".join(part for part in (error.message, error.remedy) if part))


def stamp() -> str:
    """Now, as entries and results write it."""
    return datetime.now().astimezone().isoformat(timespec="milliseconds")


def settled(entry: Entry, result: Result | None, *, state: EntryState, reason: str) -> Entry:
    """The entry when it has ended. `reason` counts unless the result says that it finished, or names its own."""
    marks: tuple[str, ...] = ()
    if result is not None and state == "finished":
        reason, marks = clean(why(result.verdict)), telling(result.verdict)
    elif result is not None and result.error:
        reason, marks = result.error.message, (result.error.kind,)
    return replace(
        entry,
        state=state,
        reason=reason,
        ended=stamp(),
        throughput=result.summary.output_throughput if result else None,
        valid=result.verdict.valid if result else None,
        marks=marks,
    )


class Queue:
    """Entries in the order in which they run; ended ones stay where they were.

    What a user asks for is kept before it is told, and raises StoreError where it cannot be kept. What the runner finds
    out is told in any case.
    """

    def __init__(self, store: QueueStore, *, place: Placer, tell: Callable[[AnyQueueEvent], None]) -> None:
        self._store = store
        self._place = place
        self._tell = tell
        self._entries = {entry.id: entry for entry in store.entries()}
        self._paused = store.paused
        self._unkept: set[int] = set()
        """Entries whose latest state could not be kept; the next write takes them along."""
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

    def submit(self, submission: Submission, refused: Mapping[int, str]) -> tuple[int, ...]:
        """Queue configs, as one group; their ids. Those in `refused`, by their position, have ended for that reason."""
        now = stamp()
        ids = self._store.next_ids(len(submission.variants))
        new = [
            Entry(
                id=number,
                group=ids[0],
                title=submission.title,
                name=variant.name,
                config=variant.config,
                out=submission.out,
                submitted=now,
                place=variant.place,
                state="refused" if position in refused else "queued",
                reason=refused.get(position, ""),
                ended=now if position in refused else "",
            )
            for position, (number, variant) in enumerate(zip(ids, submission.variants, strict=True))
        ]
        front = next((entry.id for entry in self.waiting), None) if submission.front else None
        self._insert(self._place(new), before=front)
        return tuple(ids)

    def copy(self, ids: Sequence[int], *, behind: bool, configs: Mapping[int, Config] | None = None) -> tuple[int, ...]:
        """Queue entries once more: right behind the last of them, or at the end; the new ids. `configs` replace some.

        Behind an entry of a sweep the copy belongs to the sweep; otherwise copies form groups of their own, and one of
        a bench stands in for what it copies.
        """
        originals = [self.get(number) for number in ids]
        sizes = Counter(entry.group for entry in self._entries.values())
        groups = {group: group for group, size in sizes.items() if behind and size > 1}
        now = stamp()
        new = []
        for original, number in zip(originals, self._store.next_ids(len(originals)), strict=True):
            group = groups.setdefault(original.group, number)
            fresh = Entry(
                id=number,
                group=group,
                title=original.title,
                name=original.name,
                config=(configs or {}).get(original.id, original.config),
                out=original.out,
                submitted=now,
                place=None if behind else original.place,
            )
            new.append(fresh)
        order = list(self._entries)
        last = max((order.index(number) for number in ids), default=len(order) - 1)
        self._insert(self._place(new), before=order[last + 1] if behind and last + 1 < len(order) else None)
        return tuple(entry.id for entry in new)

    def awaits(self, entry: Entry) -> bool:
        """Whether it waits still, as it was: nobody ended, removed or changed it."""
        now = self._entries.get(entry.id)
        return now is not None and now.state == "queued" and (now.config, now.lane) == (entry.config, entry.lane)

    def edit(self, number: int, variant: Variant) -> None:
        """Put another config into a waiting entry."""
        entry = self.get(number)
        if entry.state != "queued":
            raise UsageError(f"entry {number} is {entry.state}: only a waiting one can be edited")
        self._keep(self._place([replace(entry, name=variant.name, config=variant.config, place=variant.place)]))

    def move(self, ids: Sequence[int], by: int) -> None:
        """Move waiting entries among those that wait; together they keep their order."""
        chosen = {self.get(number).id for number in ids}
        waiting = [entry.id for entry in self.waiting]
        if not chosen <= set(waiting):
            raise UsageError("only waiting entries can be moved")
        line = waiting if by < 0 else waiting[::-1]
        # Each goes as far as it can; those that meet at the end of the line stand behind each other.
        held = [at for at, number in enumerate(line) if number in chosen]
        goals = {max(rank, at - abs(by)): line[at] for rank, at in enumerate(held)}
        others = (number for number in line if number not in chosen)
        line = [goals[at] if at in goals else next(others) for at in range(len(line))]
        moved = iter(line if by < 0 else line[::-1])
        places = set(waiting)
        self._reorder([next(moved) if number in places else number for number in self._entries])

    def end_waiting(self, ids: Iterable[int], state: EntryState) -> None:
        """Take waiting entries out of the line, marked with `state`."""
        ended = stamp()
        if entries := [replace(self.get(number), state=state, ended=ended) for number in ids]:
            self._keep(entries)

    def remove(self, ids: Iterable[int]) -> None:
        """Forget entries that wait or have ended."""
        chosen = {self.get(number).id for number in ids}
        if any(self._entries[number].state == "running" for number in chosen):
            raise UsageError("a running entry cannot be removed", remedy="Cancel it first.")
        self._store.delete(chosen)
        self._entries = {number: entry for number, entry in self._entries.items() if number not in chosen}
        self._tell(EntriesOrdered(tuple(self._entries)))

    def forget_runs(self, out: str, runs: Collection[str]) -> None:
        """Forget ended entries whose runs in a reports folder are no more."""
        gone = [entry.id for entry in self.entries if entry.out == out and entry.run and entry.run in runs]
        if ids := [number for number in gone if self._entries[number].state in ENDED]:
            self.remove(ids)

    def clear(self) -> None:
        """Forget all that have ended."""
        self.remove([entry.id for entry in self._entries.values() if entry.state in ENDED])

    def note(self, *entries: Entry) -> None:
        """Replace entries by what has become of them: that is so, whether it can be kept or not."""
        try:
            self._put(entries)
        except StoreError as error:
            self._unkept |= {entry.id for entry in entries}
            self.fault(error.message)
        self._replace(entries)

    def fault(self, message: str) -> None:
        """Note what went wrong, once."""
        if message not in self.faults:
            self.faults.append(message)

    def learn(self, duration: Duration) -> None:
        """Keep how long a run took, if that can be kept."""
        try:
            self._store.add_duration(duration)
        except StoreError as error:
            self.fault(error.message)

    def _keep(self, entries: Sequence[Entry]) -> None:
        """Replace entries. Raises StoreError, and then nothing has changed."""
        self._put(entries)
        self._replace(entries)

    def _put(self, entries: Sequence[Entry]) -> None:
        late = self._unkept & self._entries.keys() - {entry.id for entry in entries}
        self._store.put([*(self._entries[number] for number in sorted(late)), *entries])
        self._unkept.clear()

    def _replace(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            self._entries[entry.id] = entry
            self._tell(EntryChanged(entry))

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


MAX_NAME = 500
"""Characters of a title, and of a name."""
MAX_CONFIG = 1 << 20
"""Bytes of one config as JSON."""
MAX_PATH = 4095
"""Bytes of a path: PATH_MAX of Linux holds one more, the null byte."""


def accepted(submission: Submission) -> Submission:
    """The submission as it may be queued: its texts are fit to be shown. Raises UsageError and ConfigError."""
    if not submission.variants:
        raise UsageError("nothing to queue: the submission holds no config")
    if len(submission.variants) > MAX_POINTS:
        raise UsageError(f"the submission holds {len(submission.variants):,} configs; up to {MAX_POINTS:,} are taken")
    out = submission.out
    if not Path(out).is_absolute() or "\0" in out or len(out.encode(errors="replace")) > MAX_PATH:
        raise UsageError(
            f"the reports folder {quoted(out[:200])} is not an absolute path of at most {MAX_PATH:,} bytes"
        )
    variants = tuple(accepted_variant(variant) for variant in submission.variants)
    return replace(submission, title=_name("title", submission.title), variants=variants)


def accepted_variant(variant: Variant) -> Variant:
    """A config as it may be queued. Raises UsageError, and ConfigError as for a file that says the same."""
    config = variant.config
    size = len(msgspec.json.encode(config))
    if size > MAX_CONFIG:
        raise UsageError(f"a config of {size:,} bytes is too large; up to {MAX_CONFIG:,} are taken")
    if config.sweep != SweepConfig():
        raise UsageError("a config in the queue is a single run, and this one holds a sweep", remedy="Expand it first.")
    place = _accepted_place(variant.place) if variant.place else None
    return Variant(_name("name", variant.name), decode(msgspec.to_builtins(config)), variant.values, place)


def _accepted_place(place: Place) -> Place:
    if len(place.arms) > MAX_POINTS:
        raise UsageError(f"a bench of {len(place.arms):,} configs is too large; up to {MAX_POINTS:,} are taken")
    arms = tuple(_name("name of a config", arm) for arm in place.arms)
    return replace(place, bench=_name("name of the bench", place.bench), arm=_name("name", place.arm), arms=arms)


def _name(what: str, text: str) -> str:
    if len(text) > MAX_NAME:
        raise UsageError(f"the {what} {quoted(text[:200])} is longer than {MAX_NAME} characters")
    return clean(text)
