"""Runs whose runner was killed: what they had measured becomes an interrupted result."""

import fcntl
import socket
from collections.abc import Iterable
from pathlib import Path

import msgspec
from msgspec.structs import replace

from infertui import regular_files
from infertui.errors import StoreError
from infertui.measure.clock import NS_PER_S
from infertui.measure.itl import merge_sequences
from infertui.measure.load.figures import LoadFigures
from infertui.measure.load.summary import summarise_load
from infertui.measure.load.validity import judge_load
from infertui.measure.records import BatchRecord, EngineMemory, Request, RequestRecord, grouped, request_of
from infertui.measure.summary import summarise
from infertui.measure.validity import Circumstances, judge
from infertui.results.jsonl import read_lines
from infertui.results.result import Result
from infertui.results.runs import BEGUN, RESULT, RESULT_BYTES, Begun, Store, boot_id, encode_result, write_whole
from infertui.results.upgrade import decode_result
from infertui.runner.endpoint.asked import asked_load

LONGEST_S = 1e9
"""Seconds, of 30 years: what a line tells of more was never measured."""
REASON = "its runner was killed"
"""What is said where nothing better is known: nobody lived to say more."""


def recover(store: Store, run: str = "") -> list[Result]:
    """Give every run of a reports folder that was cut off its result, or that run; those results.

    A live runner's are left alone. Raises StoreError for what can be no run.
    """
    folders = [store.folder_of(run)] if run else store.folders_with(BEGUN)
    return [result for folder in folders if (result := _recovered(store, folder)) is not None]


def _recovered(store: Store, folder: Path) -> Result | None:
    try:
        # Open for writing too, which NFS asks of who locks.
        with regular_files.opened_to_change(folder / BEGUN) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # who measures holds it, and so does who recovers
            return _recovered_alone(store, folder, msgspec.json.decode(file.read(RESULT_BYTES), type=Begun))
    except (OSError, StoreError, ValueError, msgspec.MsgspecError, RecursionError):
        return None


def _recovered_alone(store: Store, folder: Path, begun: Begun) -> Result | None:
    """What a run left, completed in the order in which runs are kept: being killed here too loses and doubles nothing.

    Raises OSError, StoreError, and MsgspecError for a result that cannot be read.
    """
    if not (folder / BEGUN).exists():
        return None
    kept, indexed = _kept(folder), store.result_of(folder.name)
    result = kept or indexed or _interrupted(folder, begun)
    if kept is None:
        write_whole(folder / RESULT, encode_result(result))
    if indexed is None:
        store.append(result)
    (folder / BEGUN).unlink(missing_ok=True)
    return result


def _kept(folder: Path) -> Result | None:
    try:
        return decode_result(regular_files.read(folder / RESULT, RESULT_BYTES))
    except FileNotFoundError:
        return None


def _interrupted(folder: Path, begun: Begun) -> Result:
    lines = folder / "requests.jsonl"
    why = _what_ended(begun)
    if not lines.exists():
        why += f"; its {lines.name} is gone, and with it whatever was measured"
    records = read_lines(lines, RequestRecord, warn=lambda _: None)
    load: LoadFigures | None = None
    if begun.config.target.kind == "endpoint":
        asked, requests = asked_load(begun.config, begun.loaded), requests_of(records)
        stop_ns = max((request.sent_ns for request in requests), default=0)
        summary, load = summarise_load(requests, asked, origin_ns=0, stop_ns=stop_ns)
        found = judge_load(summary, load, asked)
        verdict = replace(found, notes=(*found.notes, f"stopped early: {why}"))
    else:
        batches = batches_of(records)
        summary = summarise(batches)
        seen = Circumstances(begun.config.workload.output_len, stopped=why)
        verdict = judge(batches, seen, begun.config.validity)
    return Result(
        id=folder.name,
        name=begun.name,
        state="interrupted",
        started=begun.started,
        config=begun.config,
        fingerprint=begun.fingerprint,
        verdict=verdict,
        summary=summary,
        loaded=begun.loaded,
        load=load,
        phases={},
        sample_hz=begun.config.measurement.sample_hz,
        ended_by=why,
    )


def _what_ended(begun: Begun) -> str:
    """As much as can be known. Who lived to say so has noted it; else the machine or the process ended at once."""
    if begun.ended_by:
        return begun.ended_by
    host = begun.fingerprint.host.hostname
    if host != socket.gethostname():  # perhaps a container's that is no more
        return f"{REASON}, on {host}" if host else REASON
    now = boot_id()
    if begun.boot and now and begun.boot != now:
        return "the machine went down or was restarted while it ran"
    return REASON


def batches_of(records: Iterable[RequestRecord]) -> list[BatchRecord]:
    """The batches that request lines tell of, one after the other; one whose lines are not all there is left out."""
    found = [batch for lines in grouped(records) if (batch := _batch(lines)) is not None]
    size = max((len(batch.requests) for batch in found), default=0)
    return [batch for batch in found if len(batch.requests) == size]


def requests_of(records: Iterable[RequestRecord]) -> list[Request]:
    """The requests that lines tell of, without those whose times nothing can have taken."""
    return [request_of(record) for record in records if _can_be(record)]


def _can_be(line: RequestRecord) -> bool:
    """Whether its times can have been measured: anybody may have written into the file."""
    own = (line.start, line.due, line.end, line.first_byte, line.first_output, line.ttft, line.latency)
    times = (*own, line.batch_seconds, *line.stretches)
    return all(seconds is None or abs(seconds) <= LONGEST_S for seconds in times)


def _batch(lines: list[RequestRecord]) -> BatchRecord | None:
    """None of a request that was part of none, and of one whose time is not known, or none that can have been."""
    first = lines[0]
    if first.batch is None or first.batch_seconds is None or not all(map(_can_be, lines)):
        return None
    start = round(first.start * NS_PER_S)
    end = start + round(first.batch_seconds * NS_PER_S)

    def after(seconds: float | None) -> int | None:
        return None if seconds is None else start + round(seconds * NS_PER_S)

    own = first.own_times
    first_ns = after(min((line.ttft for line in lines if line.ttft is not None), default=None))
    last_ns = after(max((line.latency for line in lines if line.latency is not None), default=None))
    return BatchRecord(
        phase="measure",
        index=first.batch,
        start_ns=start,
        first_ns=first_ns,
        last_ns=last_ns,
        end_ns=end,
        itl=merge_sequences(line.itl for line in lines if line.itl) if own else first.itl,
        requests=tuple(
            Request(
                "",  # figures need no texts, and those of a long run would fill the memory
                line.prompt_tokens or 0,  # what was measured here always has it
                line.tokens,
                due_ns=start if line.due in (None, line.start) else round(line.due * NS_PER_S),
                sent_ns=start,
                end_ns=end,
                first_ns=after(line.ttft) if own else first_ns,
                last_ns=after(line.latency) if own else last_ns,
                itl=line.itl if own else None,
                error=line.error,
                asked_prompt_tokens=line.asked_prompt_tokens,
                asked_tokens=line.asked_tokens,
            )
            for line in lines
        ),
        memory=EngineMemory(),  # whose memory `memory_mb` was, a device's or the host's, the lines do not say
        error=first.error,
        own_times=own,
        stretches_ns=tuple(round(length * NS_PER_S) for length in first.stretches),
    )
