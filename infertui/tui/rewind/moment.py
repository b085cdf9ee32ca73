"""The state of the runner at an earlier moment, as far as it is known. Pure: what is known now, and what was kept."""

from collections import deque
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import lru_cache

from msgspec.structs import replace

from infertui.measure.clock import NS_PER_S
from infertui.runner.execution.progress import RunProgress
from infertui.runner.past.kept import RunMark, RunnerPast
from infertui.runner.scheduling.queue_store import ENDED, Entry
from infertui.telemetry.readings import Sample
from infertui.tui.state import ClientState


def held(now: ClientState, t_ns: int, wall_s: float) -> ClientState:
    """What is known now, which stays as it is while the runner goes on. `t_ns` is the newest sample's."""
    state = _alike(now, t_ns, wall_s)
    state.entries = dict(now.entries)
    state.progress = {run: progress.copy() for run, progress in now.progress.items()}
    state.samples.extend(now.samples)
    return state


def state_at(now: ClientState, pasts: Iterable[RunnerPast], t_ns: int, wall_s: float) -> ClientState:
    """The state at `t_ns` of the runner's clock, which was `wall_s` of the time of day (Unix seconds)."""
    state = _alike(now, t_ns, wall_s)
    pasts = list(pasts)
    samples = {sample.t_ns: sample for past in pasts for sample in past.samples}
    samples |= {sample.t_ns: sample for sample in now.samples}
    state.samples.extend(samples[stamp] for stamp in sorted(samples) if stamp <= t_ns)
    state.entries = {entry.id: then for entry in now.entries.values() if (then := entry_at(entry, wall_s))}
    over = {entry.run for entry in state.entries.values() if entry.state in ENDED}
    state.outcomes = {run: outcome for run, outcome in now.outcomes.items() if run in over}
    runs = {run: progress for past in pasts for run, progress in past.runs.items()} | now.progress
    runs |= {run: outcome.progress for run, outcome in now.outcomes.items() if outcome.progress}
    marks: dict[str, dict[int, RunMark]] = {}
    for past in pasts:
        for mark in past.marks:
            if mark.t_ns <= t_ns:
                marks.setdefault(mark.run, {})[mark.t_ns] = mark
    state.progress = {
        entry.run: progress_at(runs[entry.run], sorted(marks.get(entry.run, {}).values(), key=_stamp), t_ns)
        for entry in state.running
        if entry.run in runs
    }
    return state


def _stamp(mark: RunMark) -> int:
    return mark.t_ns


def _alike(now: ClientState, t_ns: int, wall_s: float) -> ClientState:
    state = ClientState()
    for name, value in vars(now).items():
        if name not in ("entries", "progress", "samples", "ended", "pulled"):
            setattr(state, name, dict(value) if isinstance(value, dict) else value)
    state.moment_ns, state.moment_s = t_ns, wall_s
    return state


def entry_at(entry: Entry, wall_s: float) -> Entry | None:
    """An entry as it was; None: it was not there yet. Its place in the line and its config are those of now."""
    if _seconds(entry.submitted) > wall_s:
        return None
    started, ended = _seconds(entry.started), _seconds(entry.ended)
    if entry.ended and ended <= wall_s:
        return entry
    if entry.started and started <= wall_s:
        if entry.state == "running":
            return entry
        return replace(entry, state="running", ended="", reason="", throughput=None, valid=None)
    if entry.state == "queued":
        return entry
    return replace(entry, state="queued", run="", started="", ended="", reason="", throughput=None, valid=None)


@lru_cache(maxsize=20_000)
def _seconds(stamp: str) -> float:
    try:
        return datetime.fromisoformat(stamp).timestamp()
    except ValueError:
        return 0.0


def progress_at(known: RunProgress, marks: Sequence[RunMark], t_ns: int) -> RunProgress:
    """How far a run was, by its marks up to then; without any, by what is known of it now."""
    entered = [(stamp, phase) for stamp, phase in known.entered if stamp <= t_ns]
    rates = {stamp: rate for stamp, rate in known.rates if stamp <= t_ns}
    rates |= {mark.t_ns: mark.tokens_per_s for mark in marks if mark.tokens_per_s is not None}
    ttfts = {stamp: ttft for stamp, ttft in known.ttfts if stamp <= t_ns}
    ttfts |= {mark.t_ns: mark.ttft for mark in marks if mark.load is not None and mark.ttft is not None}
    progress = replace(
        known, entered=entered, rates=sorted(rates.items()), ttfts=sorted(ttfts.items()), notes=[], sample=None,
        phase=entered[-1][1] if entered else None,
    )  # fmt: skip
    if marks:
        last = marks[-1]
        return replace(
            progress, phase=entered[-1][1] if entered else last.phase, loaded=known.loaded if last.loaded else None,
            step=last.step, batch=last.batch, warmed_up=last.warmed_up, measured=last.measured,
            measured_tokens=last.measured_tokens, measured_seconds=last.measured_seconds,
            tokens_per_s=last.tokens_per_s, ttft=last.ttft, itl=last.itl, load=last.load,
        )  # fmt: skip
    # How much was done by then is not known.
    return replace(
        progress, loaded=None, step=0, batch=0, warmed_up=0, measured=0, measured_tokens=0, measured_seconds=0.0,
        tokens_per_s=progress.rates[-1][1] if progress.rates else None, ttft=None, itl=None, load=None,
    )  # fmt: skip


def is_told(samples: Sequence[Sample] | deque[Sample], t_ns: int, reach_s: float = 10.0) -> bool:
    """Whether what is known reaches to a moment."""
    return bool(samples) and t_ns - samples[-1].t_ns <= reach_s * NS_PER_S
