"""Whether a run's numbers may be believed: reasons against, each said in words."""

from collections.abc import Sequence

from msgspec import Struct

from infertui.measure.records import BatchRecord
from infertui.measure.statistics import describe, drift

# Clock reductions from outside the measured configuration. A power cap is how a busy GPU normally runs: a note.
DISTURBING_THROTTLES = frozenset({"hw-slowdown", "hw-thermal", "hw-power-brake", "sw-thermal", "sync-boost"})


# Beyond these the spread of the iterations is worth a word; it does not make the mean wrong.
NOTED_DRIFT = 0.05
NOTED_VARIATION = 0.10


class Verdict(Struct, frozen=True):
    """`invalid` holds what makes the numbers wrong, `notes` what a reader should know."""

    invalid: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def valid(self) -> bool:
        """No reason against."""
        return not self.invalid


class Circumstances(Struct, frozen=True):
    """What was seen around the measured window. None is not known."""

    output_len: int
    warmup_steady: bool | None = None
    throttles: tuple[str, ...] | None = None
    foreign_processes: tuple[str, ...] | None = None
    lost_gpus: tuple[str, ...] = ()
    stopped: str = ""
    random_weights: bool = False
    remote_code: bool = False
    fallback: str = ""
    """Which engine ran instead of which, and why; empty when it was the one that was asked for."""


def judge(batches: Sequence[BatchRecord], seen: Circumstances) -> Verdict:
    """Judge the measured batches. No batch at all is invalid as well."""
    invalid: list[str] = []
    notes: list[str] = []
    failed = [batch for batch in batches if batch.error]
    if not batches:
        invalid.append("nothing was measured")
    if failed:
        invalid.append(f"{len(failed)} of {len(batches)} batches failed: {failed[0].error}")
    lengths = {part.tokens for batch in batches if not batch.error for part in batch.requests}
    for what, wrong in (
        ("not reached", {length for length in lengths if length < seen.output_len}),
        ("exceeded", {length for length in lengths if length > seen.output_len}),
    ):
        if wrong:
            told = ", ".join(map(str, sorted(wrong)))
            invalid.append(f"output length {what}: {told} tokens where {seen.output_len} were asked for")
    disturbing = sorted(DISTURBING_THROTTLES & set(seen.throttles or ()))
    if disturbing:
        invalid.append(f"the GPU was throttled: {', '.join(disturbing)}")
    if "power-cap" in (seen.throttles or ()):
        notes.append("the GPU ran at its power limit")
    if seen.foreign_processes:
        invalid.append(f"another process used the GPU: {', '.join(seen.foreign_processes)}")
    if seen.lost_gpus:
        invalid.append(f"telemetry of the GPU was lost: {', '.join(seen.lost_gpus)}")
    if seen.fallback:
        notes.append(f"FALLBACK: {seen.fallback}")
    if seen.warmup_steady is False:
        notes.append("warm-up was not steady when measuring began")
    notes += _unsteadiness([batch.tokens / batch.seconds for batch in batches if not batch.error and batch.seconds])
    if seen.stopped:
        notes.append(f"stopped early: {seen.stopped}")
    if seen.remote_code:
        notes.append("code that came with the model was allowed to run (model.trust_remote_code)")
    if seen.random_weights:
        notes.append("random weights: the speed is the architecture's, the text means nothing")
    return Verdict(tuple(invalid), tuple(notes))


def _unsteadiness(rates: Sequence[float]) -> list[str]:
    """Remarks on how the throughput of the iterations moved and spread."""
    notes = []
    moved = drift(rates)
    if moved is not None and abs(moved) > NOTED_DRIFT:
        notes.append(f"throughput drifted by {moved:+.0%} from the first to the second half")
    spread = describe(rates)
    if spread and spread.std and spread.std > NOTED_VARIATION * spread.mean:
        notes.append(f"throughput varied by {spread.std / spread.mean:.0%} between iterations")
    return notes
