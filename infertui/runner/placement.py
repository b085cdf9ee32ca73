"""On which lane entries will run, and for how long. Asked for whole sweeps at once, and never reads a file for it."""

import contextlib
from collections.abc import Callable, Iterable, Sequence

from msgspec.structs import replace

from infertui.config.schema import Config, DeviceConfig, EngineConfig, WorkloadConfig
from infertui.errors import InfertuiError
from infertui.load.prompts import load_prompts
from infertui.runner.blocking import bounded
from infertui.runner.foretell import foretell, kind_of
from infertui.runner.lanes import lane_of
from infertui.runner.loading import Choice, choose
from infertui.runner.queue_store import Duration, Entry
from infertui.targets.engine.base import Probe
from infertui.telemetry.readings import GpuInfo

COUNTING_S = 5.0
ASKING_S = 25.0
NEWS = 0.1
"""An estimate that moves by less than this share is not worth an event."""


class Placing:
    """Places entries. What files say is learned beforehand, by `learn`."""

    def __init__(self, gpus: Callable[[], tuple[GpuInfo, ...]], durations: Callable[[str], list[Duration]]) -> None:
        self._gpus = gpus
        self._durations = durations
        self._pools: dict[str, int] = {}
        self._choices: dict[tuple[str, str, bool], Choice] = {}

    async def learn(self, configs: Iterable[Config]) -> None:
        """Count the prompts of configs, and ask for their engines, in threads.

        A file that cannot be read, or not soon, has no number; an engine that does not answer soon is not known.
        """
        configs = list(configs)
        wanted = {_pool_of(config.workload): config.workload for config in configs if _counts(config)}
        engines = {_asked_of(config.engine): config.engine for config in configs}

        def count() -> dict[str, int]:
            found = {}
            for name, workload in wanted.items():
                with contextlib.suppress(InfertuiError, OSError, ValueError, RuntimeError):
                    found[name] = _count(workload)
            return found

        if wanted:
            self._pools |= await bounded(count, COUNTING_S) or {}
        if engines:
            self._choices |= (
                await bounded(lambda: {key: choose(engine) for key, engine in engines.items()}, ASKING_S) or {}
            )

    def placed(self, entries: Sequence[Entry]) -> list[Entry]:
        """The entries with their lanes and estimates."""
        gpus = self._gpus()
        lanes: dict[tuple[DeviceConfig, EngineConfig], str] = {}
        earlier: dict[str, list[Duration]] = {}
        placed = []
        for entry in entries:
            config = entry.config
            where = (config.device, config.engine)
            if where not in lanes:
                lanes[where] = lane_of(config, gpus, self._choice(config.engine))
            kind = kind_of(config, lanes[where])
            if kind not in earlier:
                earlier[kind] = _latest(self._durations(kind))
            seconds = foretell(config, earlier[kind], self._pools.get(_pool_of(config.workload)))
            placed.append(replace(entry, lane=lanes[where], estimate_s=seconds))
        return placed

    def _choice(self, engine: EngineConfig) -> Choice:
        """As `learn` found it; where it did not, as if the engine could be used."""
        known = self._choices.get(_asked_of(engine))
        if known is None:
            return Choice(engine, Probe(engine.name, available=True, reason="it was not asked"))
        return known if known.requested else replace(known, engine=engine)

    def foreseen_anew(self, waiting: Sequence[Entry], duration: Duration) -> list[Entry]:
        """Those of the waiting entries that will take another time, now that a run of this kind took so long."""
        kin = [entry for entry in waiting if kind_of(entry.config, entry.lane) == duration.kind]
        return [new for old, new in zip(kin, self.placed(kin), strict=True) if _differs(old.estimate_s, new.estimate_s)]


def _asked_of(engine: EngineConfig) -> tuple[str, str, bool]:
    """What decides whether an engine can be used; a sweep over its options asks once."""
    return engine.name, engine.python, engine.fallback


def _differs(old: float | None, new: float | None) -> bool:
    if old is None or new is None:
        return old != new
    return abs(new - old) > NEWS * old


def _latest(durations: Sequence[Duration]) -> list[Duration]:
    """The latest of each batch size and length: no other will ever be the nearest."""
    found: dict[tuple[int, int], Duration] = {}
    for duration in durations:
        found.setdefault((duration.batch_size, duration.output_len), duration)
    return list(found.values())


def _counts(config: Config) -> bool:
    """Whether the number of prompts decides how much is measured."""
    return not config.measurement.iterations and not config.workload.num_prompts


def _pool_of(workload: WorkloadConfig) -> str:
    return f"file {workload.prompts_file}" if workload.prompts_file else workload.prompts


def _count(workload: WorkloadConfig) -> int:
    """The number of prompts."""
    return len(load_prompts(workload))
