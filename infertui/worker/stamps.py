"""Notes when tokens came, between two steps of an engine, and works out afterwards whose they were."""

import itertools
from collections.abc import Callable, Sequence

from msgspec import Struct

from infertui.errors import EngineError
from infertui.measure.clock import Clock
from infertui.measure.hypotheses import STRETCHES
from infertui.measure.itl import Gaps, merge_sequences, summarise_gaps
from infertui.measure.records import Activity


class Cancelled(BaseException):
    """Raised at a token step after the runner asked to stop; no engine swallows it as one of its own errors."""


class Progress:
    """What the heartbeat tells: written by the measuring thread, read by another. Plain assignments, no lock.

    `step` counts the tokens that every sequence of the batch has gained, or that they have on average; `tokens` those
    of all sequences in the phase so far.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.phase: Activity = "spawn"
        self.batch = 0
        self.step = 0
        self.tokens = 0
        self.progress_ns = clock.now_ns()

    def enter(self, phase: Activity) -> None:
        """A phase begins; its counts start at zero."""
        self.phase, self.batch, self.step, self.tokens = phase, 0, 0, 0
        self.progress_ns = self._clock.now_ns()


class SequenceTimes(Struct, frozen=True):
    """When a sequence gained its tokens: monotonic nanoseconds; None where it gained none."""

    first_ns: int | None
    last_ns: int | None
    itl: Gaps | None


class StampSink:
    """See `Sink`. Its two methods run between two steps of the engine, so they do next to nothing; the rest is later.

    `stamps_ns` and `tokens` hold a value for each call; `sequences` one for each call of `gained`.

    `spent_ns` is the time that these calls took, each from its stamp to a second reading of the clock at its end. How a
    call comes to its stamp and goes back is not seen: of 0.3 us in a hot loop a third, of the 5 us that a call behind
    milliseconds of other work took, with cold caches, a little less than half. It does not hold what the engine's own
    code does around it, such as the sink that tensor parallelism puts around this one on rank 0 (0.05 us hot); the
    other ranks' sinks and the heartbeat's thread run beside it. Where the device works on meanwhile, the run is not
    longer by all of it.
    """

    def __init__(self, size: int, clock: Clock, progress: Progress, cancelled: Callable[[], bool]) -> None:
        self._now, self._progress, self._cancelled, self._size = clock.now_ns, progress, cancelled, size
        self._before = progress.tokens
        self.stamps_ns: list[int] = []
        self.tokens: list[int] = []
        self.sequences: list[int] = []
        self.spent_ns = 0

    def step(self, tokens: int = 1) -> None:
        stamp = self._now()
        self.stamps_ns.append(stamp)
        self.tokens.append(tokens)
        progress = self._progress
        progress.step += tokens
        progress.tokens += tokens * self._size
        progress.progress_ns = stamp
        if self._cancelled():
            raise Cancelled
        self.spent_ns += self._now() - stamp

    def gained(self, sequence: int, tokens: int = 1) -> None:
        stamp = self._now()
        self.stamps_ns.append(stamp)
        self.tokens.append(tokens)
        self.sequences.append(sequence)
        progress = self._progress
        progress.tokens += tokens
        progress.step = (progress.tokens - self._before) // self._size
        progress.progress_ns = stamp
        if self._cancelled():
            raise Cancelled
        self.spent_ns += self._now() - stamp

    @property
    def first_ns(self) -> int | None:
        """When the first tokens of the batch came."""
        return self.stamps_ns[0] if self.stamps_ns else None

    @property
    def last_ns(self) -> int | None:
        """When the last tokens of the batch came."""
        return self.stamps_ns[-1] if self.stamps_ns else None

    @property
    def by_sequence(self) -> bool:
        """Whether the engine told of each sequence by itself."""
        return bool(self.sequences)

    def check(self, counts: Sequence[int]) -> None:
        """Raise EngineError for times that cannot be those of the tokens which the engine says it made."""
        if self.sequences and len(self.sequences) != len(self.stamps_ns):
            raise EngineError("the engine told of steps of all sequences and of single ones in one batch")
        if any(not 0 <= sequence < self._size for sequence in self.sequences):
            raise EngineError(f"the engine told of a sequence that is none of the {self._size} of the batch")
        if any(tokens < 1 for tokens in self.tokens):
            raise EngineError("the engine told of a step without tokens")
        if len(counts) != self._size:
            raise EngineError(f"the engine returned {len(counts)} sequences for a batch of {self._size}")
        for sequence, (told, count) in enumerate(zip(self._told(), counts, strict=True)):
            if told != count:
                raise EngineError(
                    f"the engine made {count} tokens of sequence {sequence} and told of {told} as they came: "
                    "its times cannot be right"
                )

    def itl(self, times: Sequence[SequenceTimes]) -> Gaps | None:
        """The gaps of the batch: between its steps, or of all its sequences together."""
        if self.by_sequence:
            return merge_sequences(each.itl for each in times if each.itl)
        return summarise_gaps(self.stamps_ns, self.tokens)

    def stretches(self, start_ns: int, end_ns: int) -> tuple[int, ...]:
        """From start to end in up to 16 parts of equally many steps, up to one; none of fewer than two steps.

        The first part holds the time to the first token as well, and the last one what came after the last.
        """
        count = STRETCHES
        while count > len(self.stamps_ns):
            count //= 2
        if count < 2:
            return ()
        cuts = [self.stamps_ns[len(self.stamps_ns) * part // count - 1] for part in range(1, count)]
        return tuple(after - before for before, after in itertools.pairwise((start_ns, *cuts, end_ns)))

    def times(self) -> list[SequenceTimes]:
        """The times of each sequence; none for sequences that advance together. To be asked after `check`."""
        if not self.by_sequence:
            return []
        stamps: list[list[int]] = [[] for _ in range(self._size)]
        tokens: list[list[int]] = [[] for _ in range(self._size)]
        for sequence, stamp, count in zip(self.sequences, self.stamps_ns, self.tokens, strict=True):
            stamps[sequence].append(stamp)
            tokens[sequence].append(count)
        return [
            SequenceTimes(own[0], own[-1], summarise_gaps(own, gained)) if own else SequenceTimes(None, None, None)
            for own, gained in zip(stamps, tokens, strict=True)
        ]

    def _told(self) -> list[int]:
        if not self.by_sequence:
            return [sum(self.tokens)] * self._size
        told = [0] * self._size
        for sequence, tokens in zip(self.sequences, self.tokens, strict=True):
            told[sequence] += tokens
        return told
