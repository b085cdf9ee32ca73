"""A kept result derived anew from its own folder, by today's rules.

What its files do not tell stays as it was: what the worker knew of its memory, who else computed on the GPU, what
generated tokens were compared with. Nothing is taken from a run's config that the run did not keep.
"""

import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

import infertui
from infertui.analysis.energy import with_short_energy
from infertui.analysis.limits import derive, shipped_shape
from infertui.config.schema import ValidityConfig
from infertui.errors import StoreError
from infertui.measure.energy import counter_error
from infertui.measure.records import BatchRecord, RequestRecord
from infertui.measure.summary import Summary, summarise
from infertui.measure.validity import Verdict, judge
from infertui.models.disk import read_at_most
from infertui.models.shapes import kv_bytes_per_token
from infertui.results.jsonl import read_lines
from infertui.results.result import PowerFigures, Recomputed, Result
from infertui.results.runs import Store, is_under_way
from infertui.runner.endpoint.anew import anew
from infertui.runner.execution.circumstances import circumstances
from infertui.runner.execution.fingerprint import git_revision
from infertui.runner.idle import idle_before
from infertui.runner.recovery import batches_of, requests_of
from infertui.runner.telemetry import per_token
from infertui.targets.engine.base import Loaded
from infertui.telemetry.readings import GpuInfo, Sample

IDLE_REACH = timedelta(hours=1)
"""How long before a run another one may have seen the same GPU at rest."""
FOREIGN, LOST = "another process used the GPU: ", "telemetry of the GPU was lost: "
STOPPED, FALLBACK = "stopped early: ", "FALLBACK: "
"""What a verdict says of things that are kept nowhere else."""
TODAY = "by today's thresholds this would count against it: "
# Thresholds under which nothing is held against a run.
NOTHING_COUNTS = ValidityConfig(
    max_drift=0, max_variation=0, min_iterations=0, max_others_cpu=0, max_swap_mib=0, max_clock_fall=0,
    max_client_share=0, throttling=False, foreign_processes=False, steady_warmup=False,
)  # fmt: skip
_MAX_CONFIG_BYTES = 1 << 20
_SHOWN_APART = ("recomputed", "summary.itl.histogram", "summary.observation")
_KEPT_ALONE = {"client": "infertui's own calls", "warming": "the warm-up was not over"}
"""Marks, with their words, of what rests on more than the measured batches: on calls, and batches of the warm-up."""


class Change(Struct, frozen=True):
    """One figure of a result: what it was, and what it is."""

    key: str
    before: object
    after: object


class Outcome(Struct, frozen=True):
    """What came of a run: its old and its new result, what changed, and what could not be derived, in words."""

    run: str
    old: Result | None = None
    result: Result | None = None
    changes: tuple[Change, ...] = ()
    left: tuple[str, ...] = ()
    refused: str = ""
    """Why there is no new result."""


class Recomputation:
    """Over the results of one reports folder."""

    def __init__(
        self,
        store: Store,
        now: Callable[[], datetime] = lambda: datetime.now().astimezone(),
        warn: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`warn` is told of lines that cannot be read."""
        self._store = store
        self._now = now
        self._warn = warn
        self._rests: dict[str, dict[str, float]] = {}
        self._seen: list[tuple[datetime, str, str, tuple[GpuInfo, ...]]] = []

    def outcomes(self, runs: Sequence[str] = ()) -> Iterator[Outcome]:
        """Of the runs in the order of the folder, of all without any named. Raises StoreError for one that is missing.

        Nothing is written.
        """
        latest: dict[str, Result] = {}
        for result in self._store.each_result(warn=self._warn):
            latest.pop(result.id, None)
            latest[result.id] = result
        for run in runs:
            if run not in latest and self._store.result_of(run) is None:
                raise StoreError(f"there is no result {run!r} in {self._store.root}")
        self._seen = [
            (moment, result.id, result.fingerprint.host.hostname, devices)
            for result in latest.values()
            if (moment := _moment(result.started)) and (devices := _devices(result))
        ]
        for result in latest.values():
            if not runs or result.id in runs:
                try:
                    yield self._outcome(result)
                except StoreError as error:  # what cannot be read of one run is of no account for the others
                    yield Outcome(result.id, refused=error.message)

    def _outcome(self, old: Result) -> Outcome:
        folder = self._store.folder_of(old.id)
        if old.imported or old.source:
            return Outcome(old.id, refused="another program measured it")
        if not (old.load or old.summary.iterations):
            return Outcome(old.id, refused="nothing was measured")
        if not folder.is_dir():
            return Outcome(old.id, refused="its folder is gone")
        if is_under_way(folder):
            return Outcome(old.id, refused="it is still under way")
        if old.load is not None:
            return self._of_load(old, folder)
        batches = batches_of(read_lines(folder / "requests.jsonl", RequestRecord, warn=lambda _: None))
        left: list[str] = []
        summary = old.summary
        if len(batches) == old.summary.iterations:
            summary = _summary(old.summary, batches)
        else:
            left.append("its request lines do not tell every batch's time: percentiles, intervals and marks stay")
            batches = []
        new = replace(old, summary=summary, loaded=_loaded(old.loaded, old))
        new = replace(new, power=self._power(new, folder, left))
        if batches:
            new = replace(new, verdict=_verdict(new, batches, _own_thresholds(folder)))
        else:
            verdict = replace(new.verdict, notes=tuple(note for note in new.verdict.notes if not _is_of_energy(note)))
            new = replace(new, verdict=verdict)
        new = with_short_energy(new)
        shape = shipped_shape(new.setup.model)
        if shape is None:
            left.append("what its model is, the files do not tell: shares of the limits stay")
        elif new.limits is not None:
            new = replace(new, limits=derive(new, shape=shape))
        return self._told(old, new, left)

    def _of_load(self, old: Result, folder: Path) -> Outcome:
        """Of a load on an endpoint, over the window that was found: telemetry and pages are of that one."""
        requests = requests_of(read_lines(folder / "requests.jsonl", RequestRecord, warn=lambda _: None))
        new = anew(old, requests)
        if new is None:
            return Outcome(old.id, refused="its request lines are not those that its figures were made of")
        return self._told(old, new, ["its window stays, and what else was seen in it"])

    def _told(self, old: Result, new: Result, left: list[str]) -> Outcome:
        changes = tuple(changed(old, new))
        if changes:
            keys = tuple(change.key for change in changes)
            stamp = self._now().isoformat(timespec="seconds")
            new = replace(new, recomputed=Recomputed(infertui.__version__, git_revision(), stamp, keys))
        return Outcome(old.id, old, new, changes, tuple(left))

    def _power(self, new: Result, folder: Path, left: list[str]) -> PowerFigures | None:
        """Energy of the measured batches, how far it may be off, and idle power from when power was at rest."""
        power, span_s = new.power, None
        if power is not None:
            span_s = power.span_s or power.window_s
        if power is None or span_s is None:
            return power
        if power.domain == "gpu":
            watts, source = self._idle(new, folder)
            if watts is None and power.idle_power_w is not None:
                left.append("no telemetry holds its GPU at rest: its idle power stays")
            power = power if watts is None else replace(power, idle_power_w=watts, idle_from=source)
        if power.energy_j is None:
            return replace(power, span_s=span_s)
        whole = power.energy_j * span_s / power.window_s if power.window_s else power.energy_j
        error = whole * counter_error(span_s) if power.source == "counter" and power.domain == "gpu" else None
        power = replace(power, energy_j=whole, error_j=error)
        return per_token(
            power, span_s, new.summary.measured_s or 0.0, new.summary.output_tokens or 0, power.idle_power_w
        )

    def _idle(self, result: Result, folder: Path) -> tuple[float | None, str]:
        """Watts of all its GPUs together, and the earlier run that saw them where this one did not."""
        devices = _devices(result)
        own = _together(self._rest_of(folder, devices), devices)
        moment = _moment(result.started)
        if own is not None or moment is None:
            return own, ""
        host = result.fingerprint.host.hostname
        for earlier, run, where, theirs in sorted(self._seen, key=lambda seen: seen[0], reverse=True):
            alike = where == host and {gpu.uuid for gpu in theirs} >= {gpu.uuid for gpu in devices}
            if alike and timedelta(0) < moment - earlier <= IDLE_REACH:
                watts = _together(self._rest_of(self._store.folder_of(run), theirs), devices)
                if watts is not None:
                    return watts, run
        return None, ""

    def _rest_of(self, folder: Path, devices: Sequence[GpuInfo]) -> Mapping[str, float]:
        found = self._rests.get(folder.name)
        if found is None:
            samples = read_lines(folder / "telemetry.jsonl", Sample, warn=lambda _: None)
            try:
                found = idle_before(samples, devices)
            except StoreError:
                found = {}
            self._rests[folder.name] = found
        return found


def changed(old: Result, new: Result) -> Iterator[Change]:
    """The figures and words that differ, by their dotted keys."""
    before, after = (dict(_flat(msgspec.to_builtins(result))) for result in (old, new))
    for key in dict.fromkeys((*before, *after)):
        one, other = before.get(key), after.get(key)
        if not key.startswith(_SHOWN_APART) and not _same(one, other):
            yield Change(key, one, other)


def _flat(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _flat(part, f"{path}.{key}" if path else str(key))
    else:
        yield path, value


def _same(one: object, other: object) -> bool:
    if isinstance(one, float | int) and isinstance(other, float | int):
        return abs(one - other) <= 1e-6 * max(abs(one), abs(other))
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return sorted(map(str, one)) == sorted(map(str, other))
    return one == other or (one in (None, "", [], ()) and other in (None, "", [], ()))


def _summary(old: Summary, batches: Sequence[BatchRecord]) -> Summary:
    """Of the batches, with what their lines do not tell as it was."""
    return replace(summarise(batches), memory=old.memory, client_share=old.client_share)


def _loaded(loaded: Loaded | None, result: Result) -> Loaded | None:
    """With the KV bytes that today's rules say of the shapes that infertui ships."""
    shape = shipped_shape(result.setup.model)
    if loaded is None or loaded.kv_token_bytes is None or loaded.engine != "transformers" or shape is None:
        return loaded
    told = kv_bytes_per_token(shape, loaded.dtype)
    return loaded if told is None else replace(loaded, kv_token_bytes=told)


def _verdict(result: Result, batches: Sequence[BatchRecord], own: ValidityConfig | None) -> Verdict:
    """What today's rules say of what was seen; of what only the verdict kept, what it said.

    By `own`, its own thresholds, it is valid or not. Where they are not known, a run that was valid stays so.
    """
    old = result.verdict
    told = (*old.invalid, *old.notes)

    def named(start: str) -> str:
        return next((text.removeprefix(start) for text in told if text.startswith(start)), "")

    foreign, lost = named(FOREIGN), named(LOST)
    seen = replace(
        circumstances(result.own_config, result.loaded, result.device, result.power),
        warmup_steady=result.warmup_steady,
        foreign_processes=tuple(foreign.split(", ")) if foreign else None,
        lost_gpus=(lost,) if lost else (),
        stopped=named(STOPPED),
        fallback=named(FALLBACK),
    )
    found = judge(batches, seen, result.own_config.validity)
    for mark, words in _KEPT_ALONE.items():
        against, beside = (tuple(text for text in texts if words in text) for texts in (old.invalid, old.notes))
        if not (against or beside):
            continue
        pairs = [(text, its) for text, its in _marked(found) if words not in text] + [(text, mark) for text in against]
        notes = (*(text for text in found.notes if words not in text), *beside)
        marks = tuple(dict.fromkeys((*found.marks, mark)))
        found = Verdict(tuple(text for text, _ in pairs), notes, marks, tuple(its for _, its in pairs))
    if own is None:
        against = found.invalid if old.invalid else ()
    else:
        kept = (text for text in found.invalid if any(words in text for words in _KEPT_ALONE.values()))
        against = (*judge(batches, seen, own).invalid, *kept)
    # Under thresholds that its config did not have it was not measured: what these say is told, and no more.
    counted = [(text, mark) for text, mark in _marked(found) if text in against]
    beside = tuple(TODAY + text for text in found.invalid if text not in against)
    texts, marks = tuple(text for text, _ in counted), tuple(mark for _, mark in counted)
    return Verdict(texts, (*found.notes, *beside), found.marks, marks)


def _marked(verdict: Verdict) -> list[tuple[str, str]]:
    """What is against a run, each with its mark."""
    return list(zip(verdict.invalid, verdict.against, strict=True))


def _own_thresholds(folder: Path) -> ValidityConfig | None:
    """Those that its config had when it was measured, the others such that they count nothing; None: not known."""
    try:
        told = tomllib.loads((read_at_most(folder / "run.toml", _MAX_CONFIG_BYTES) or b"").decode())
        named = told["validity"]
        had = {name: value for name, value in named.items() if name in NOTHING_COUNTS.__struct_fields__}
        return msgspec.convert({**msgspec.to_builtins(NOTHING_COUNTS), **had}, ValidityConfig)
    except (OSError, ValueError, KeyError, AttributeError, msgspec.MsgspecError):
        return None


def _is_of_energy(note: str) -> bool:
    return note.startswith("energy is known to ")


def _devices(result: Result) -> tuple[GpuInfo, ...]:
    """The GPUs that a run used: one by its UUID, or those that its layers were divided over."""
    loaded = result.loaded
    if loaded is None or not loaded.device_uuid:
        return ()
    if (parts := result.setup.tensor_parallel or 1) > 1:
        return result.fingerprint.gpus[:parts]
    return tuple(gpu for gpu in result.fingerprint.gpus if gpu.uuid == loaded.device_uuid)


def _together(watts: Mapping[str, float], devices: Sequence[GpuInfo]) -> float | None:
    """The sum over the devices; None where one of them is not known."""
    known = [watts[gpu.uuid] for gpu in devices if gpu.uuid in watts]
    return sum(known) if known and len(known) == len(devices) else None


def _moment(started: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(started)
    except ValueError:
        return None
    return moment if moment.tzinfo else None
