"""What a runner does: its queue, its runs, and the loads among them with what their client says of itself.

Series of runs have the run's id as `run`; `infertui_run_info` has the rest of it. Those of runs under way are told, and
of so many that ended last. There is no label of a request.
"""

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import get_args

from infertui.api.exporter.family import Family, ScrapedPage
from infertui.config.schema import Config
from infertui.errors import ConfigError
from infertui.measure.load.slo import parse_slo
from infertui.results.setup import Setup
from infertui.runner.control import Snapshot
from infertui.runner.events import LoadProgressed
from infertui.runner.execution.progress import RunProgress
from infertui.runner.scheduling.queue_store import Entry, EntryState

ENDED_RUNS = 10
"""How many runs that have ended are told."""
_RUN = ("run",)


def _run(name: str, told: str, *labels: str) -> Family:
    return Family(f"infertui_run_{name}", told, ("run", *labels))


def _counted(name: str, told: str, *labels: str) -> Family:
    return Family(f"infertui_{name}", told, ("run", *labels), "counter")


def _load(name: str, told: str, *labels: str) -> Family:
    return Family(f"infertui_load_{name}", told, ("run", *labels))


INFO = Family("infertui_info", "1; the version of infertui that tells.", ("version", "Hostname"))
RUNNER_UP = Family("infertui_runner_up", "1 where a runner tells this page, 0 where GPUs are read without one.")
STARTED = Family("infertui_runner_start_time_seconds", "When the runner was started, in seconds since 1970.")
CLIENTS = Family("infertui_runner_clients", "Screens and programs that watch the runner's events.")
FAULTS = Family("infertui_runner_faults", "Faults of telemetry and queue that the runner notes, since its start.")
QUEUE = Family(
    "infertui_queue_entries", "Entries of the queue by state; ended ones until they are removed.", ("state",)
)
PAUSED = Family("infertui_queue_paused", "1 where the queue starts no further runs.")
QUEUE_S = Family("infertui_queue_estimate_seconds", "How long what waits will take; not told where one is not known.")

RUN_INFO = _run("info", "1; what is measured.", "name", "title", "model", "target", "lane", "bench")
UNDER_WAY = _run("under_way", "1 while it runs, 0 once it has ended.")
BEGAN = _run("start_time_seconds", "When the run began, in seconds since 1970.")
ENDED = _run("end_time_seconds", "When it ended.")
STATE = _run("state", "1; how it stands.", "state")
VALID = _run("valid", "1 where nothing speaks against its figures, 0 where something does; once it has ended.")
PHASE = _run("phase", "1; what it does now.", "phase")
PROGRESS = _run("progress_ratio", "How much of the measuring is done.")
LEFT = _run("left_seconds", "Time of measuring that is left, at the pace so far.")
RATE = _run("tokens_per_second", "Output tokens a second over the last moments, warm-up among them.")
UNITS = _counted("run_measured_total", "Batches, or requests of a load, that were measured.", "unit")
TOKENS = _counted("run_measured_tokens_total", "Output tokens that were measured; of batches alone.")
RUN_TTFT = _run("ttft_seconds", "Time to first token: of the last batch, or the median of the last seconds of a load.")

LEVEL = _load("level", "Load that is asked for: requests in flight, or a second.", "by")
IN_FLIGHT = _load("in_flight_requests", "Requests that were sent and have not ended.")
SENT = _counted("load_sent_requests_total", "Requests that were sent.")
DONE = _counted("load_done_requests_total", "Requests that ended.")
FAILED = _counted("load_failed_requests_total", "Requests that failed, whatever the status they came with.")
REQUEST_RATE = _load("requests_per_second", "Requests that were answered, over the last seconds.")
TOKEN_RATE = _load("tokens_per_second", "Output tokens a second, over the last seconds.")
TTFT = _load("ttft_seconds", "Time to first token since a request was due, over the last seconds.", "statistic")
ITL = _load("itl_seconds", "Inter-token latency, over the last seconds.", "statistic")
ELAPSED = _load("elapsed_seconds", "Time since the load began.")
STEADY = _load("steady", "1 where what is measured has settled, 0 where not; not told while that cannot be known.")
LIMIT = _load("objective_seconds", "Limit of an objective of load.slo.", "latency", "statistic")
CLIENT_LAG = _load("client_lag_seconds", "How late the loop of the load's own client was, at most: honesty meter.")
CLIENT_LATE = _load("client_late_seconds", "How late requests were sent after they were due, at most: honesty meter.")
CLIENT_CPU = _load("client_cpu_ratio", "Share of one core that its busiest process used: honesty meter.")

OF_RUNNER = (INFO, RUNNER_UP, STARTED, CLIENTS, FAULTS, QUEUE, PAUSED, QUEUE_S)
OF_RUNS = (
    RUN_INFO, UNDER_WAY, BEGAN, ENDED, STATE, VALID, PHASE, PROGRESS, LEFT, RATE, UNITS, TOKENS, RUN_TTFT,
)  # fmt: skip
OF_LOADS = (
    LEVEL, IN_FLIGHT, SENT, DONE, FAILED, REQUEST_RATE, TOKEN_RATE, TTFT, ITL, ELAPSED, STEADY, LIMIT, CLIENT_LAG,
    CLIENT_LATE, CLIENT_CPU,
)  # fmt: skip


def add_runner(page: ScrapedPage, told: Snapshot) -> None:
    """The runner and its queue."""
    page.add(INFO, 1, version=told.runner.version, Hostname=told.runner.host.hostname)
    page.add(RUNNER_UP, 1)
    page.add(STARTED, seconds_of(told.runner.started))
    page.add(CLIENTS, told.clients)
    page.add(FAULTS, len(told.faults))
    counts = Counter(entry.state for entry in told.entries)
    for state in get_args(EntryState):
        page.add(QUEUE, counts[state], state=state)
    page.add(PAUSED, told.paused)
    estimates = [entry.estimate_s for entry in told.entries if entry.state == "queued"]
    known = [seconds for seconds in estimates if seconds is not None]
    page.add(QUEUE_S, sum(known) if len(known) == len(estimates) else None)


def last_ended(entries: Iterable[Entry]) -> list[Entry]:
    """The runs that ended last, the latest first."""
    # Texts sort as their moments do, but where the clock's offset changes: so more are looked at than are taken.
    latest = heapq.nlargest(20 * ENDED_RUNS, (one for one in entries if one.run and one.ended), key=_ended)
    ended = [(at, entry) for entry in latest if (at := seconds_of(entry.ended)) is not None]
    return [entry for _, entry in sorted(ended, key=lambda one: one[0], reverse=True)[:ENDED_RUNS]]


def _ended(entry: Entry) -> str:
    return entry.ended


def add_runs(page: ScrapedPage, told: Snapshot) -> None:
    """Runs under way, and the last that ended."""
    running = {entry.run: entry for entry in told.entries if entry.run and entry.state == "running"}
    for entry in (*running.values(), *last_ended(told.entries)):
        _add_entry(page, entry)
    for run, progress in told.progress.items():
        if run and run not in running:  # those of a tuning session have no entry
            page.add(RUN_INFO, 1, run=run, name=progress.started.name if progress.started else "")
            page.add(UNDER_WAY, 1, run=run)
        _add_progress(page, run, progress)
        if run in running:
            _add_limits(page, run, running[run].config)


def seconds_of(stamp: str) -> float | None:
    """Seconds since 1970 of an ISO 8601 stamp; None where it is none."""
    try:
        return datetime.fromisoformat(stamp).timestamp()
    except (ValueError, OverflowError, OSError):
        return None


def _add_entry(page: ScrapedPage, entry: Entry) -> None:
    setup = Setup(entry.config, {})
    page.add(
        RUN_INFO,
        1,
        run=entry.run,
        name=entry.name,
        title=entry.title,
        model=setup.model or "",
        target=setup.target.name or "",
        lane=entry.lane,
        bench=entry.place.bench if entry.place else "",
    )
    page.add(UNDER_WAY, entry.state == "running", run=entry.run)
    page.add(BEGAN, seconds_of(entry.started), run=entry.run)
    page.add(ENDED, seconds_of(entry.ended), run=entry.run)
    page.add(STATE, 1, run=entry.run, state=entry.state)
    page.add(VALID, entry.valid, run=entry.run)


def _add_progress(page: ScrapedPage, run: str, progress: RunProgress) -> None:
    if progress.phase is not None:
        page.add(PHASE, 1, run=run, phase=progress.phase)
    page.add(PROGRESS, progress.fraction if progress.started else None, run=run)
    page.add(LEFT, progress.eta_s, run=run)
    page.add(RATE, progress.tokens_per_s, run=run)
    page.add(UNITS, progress.measured, run=run, unit=progress.unit)
    page.add(TOKENS, progress.measured_tokens if progress.unit == "batch" else None, run=run)
    page.add(RUN_TTFT, progress.ttft, run=run)
    if progress.load is not None:
        _add_load(page, run, progress.load)


def _add_load(page: ScrapedPage, run: str, load: LoadProgressed) -> None:
    values: Mapping[Family, float | None] = {
        IN_FLIGHT: load.in_flight,
        SENT: load.sent,
        DONE: load.done,
        FAILED: load.failed,
        REQUEST_RATE: load.requests_per_s,
        TOKEN_RATE: load.tokens_per_s,
        ELAPSED: load.elapsed,
        STEADY: load.steady,
        CLIENT_LAG: load.lag,
        CLIENT_LATE: load.late,
        CLIENT_CPU: load.cpu,
    }
    page.add(LEVEL, load.level, run=run, by=load.by)
    for family, value in values.items():
        page.add(family, value, run=run)
    for family, p50, p99 in ((TTFT, load.ttft_p50, load.ttft_p99), (ITL, load.itl_p50, load.itl_p99)):
        page.add(family, p50, run=run, statistic="p50")
        page.add(family, p99, run=run, statistic="p99")


def _add_limits(page: ScrapedPage, run: str, config: Config) -> None:
    try:
        terms = parse_slo(config.load.slo).terms
    except ConfigError:
        return
    for term in terms:
        page.add(LIMIT, term.limit_s, run=run, latency=term.latency, statistic=term.statistic or "every")
