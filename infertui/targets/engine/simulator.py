"""The simulator engine: exactly known timings, the ground truth of the measuring.

It loads no model. What infertui reports of it must be what was injected here.
"""

import os
import random
import signal
import time
from collections.abc import Callable

from infertui import __version__
from infertui.config.engines.simulator import SimulatorOptions
from infertui.errors import EngineError
from infertui.measure.clock import Clock
from infertui.measure.records import EngineMemory
from infertui.models.tokenizers import ByteTokenizer
from infertui.targets.engine.base import (
    Batch,
    EffectiveSettings,
    Generated,
    GenerationPlan,
    Getting,
    Loaded,
    LoadRequest,
    Probe,
    Sink,
)

NS_PER_MS = 1_000_000


def probe() -> Probe:
    """Always usable."""
    return Probe("simulator", available=True, reason="built in", versions={"infertui": __version__})


class SimulatorEngine:
    """See `Engine`. Steps end at absolute deadlines, so errors of sleeping do not add up."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._config = SimulatorOptions()
        self._random = random.Random(0)  # noqa: S311 (jitter, not secrets)
        self._slower_ms = 0.0
        self._on_gpu = 0
        self._held: int | None = None
        self._batches = 0
        self._tokenizer = ByteTokenizer()

    def adapt(self, request: LoadRequest) -> Loaded:
        """Its times are what it is told."""
        self._config = request.engine.simulator
        return self._found()

    def load(self, request: LoadRequest) -> Loaded:
        self._config = request.engine.simulator
        if self._config.process_ms:
            self._random = random.Random()  # noqa: S311 (as above)
            self._slower_ms = self._random.uniform(0, self._config.process_ms)
        self._clock.sleep_until(self._clock.now_ns() + round(self._config.load_ms * NS_PER_MS))
        self._strike(batch=0)
        self._place_layers()
        return self._found()

    def _found(self) -> Loaded:
        return Loaded(
            engine="simulator",
            versions={"infertui": __version__},
            device="cpu",
            device_name="simulator",
            device_uuid=self._config.gpu_uuid,
            dtype="none",
            attention="none",
            parameters=None,
            weight_bytes=None,
            vocabulary=self._tokenizer.vocab_size,
            random_weights=True,
            memory_policy="none",
            offloaded_layers=f"{self._on_gpu} of {self._config.layers}" if self._config.layers else "",
        )

    def _place_layers(self) -> None:
        """Raises RuntimeError, in the words of CUDA, where they take more than there is."""
        options = self._config
        asked = options.n_gpu_layers if options.n_gpu_layers >= 0 else options.layers
        self._on_gpu = min(asked, options.layers)
        held_mib = options.gpu_mib + self._on_gpu * options.gpu_layer_mib
        if 0 < options.gpu_free_mib < held_mib:
            raise RuntimeError(
                f"CUDA out of memory: {self._on_gpu} layers take {held_mib:g} MiB of {options.gpu_free_mib:g} MiB"
            )
        self._held = round(held_mib * (1 << 20)) if options.layers else None

    def encode(self, text: str) -> list[int]:
        return self._tokenizer.encode(text)

    def prepare(self, plan: GenerationPlan, enter: Callable[[Getting], None]) -> None:
        """There is nothing to get ready."""

    def effective(self) -> EffectiveSettings:
        return EffectiveSettings()

    def generate(self, batch: Batch, sink: Sink) -> Generated:
        """Batches are numbered from 1 for `fail_every`, warm-up included."""
        self._batches += 1
        if self._config.fail_every and self._batches % self._config.fail_every == 0:
            raise EngineError(f"the simulator was told to fail every {self._config.fail_every} batches")
        steps = max(0, batch.output_len - self._config.short_by)
        layers_ms = (
            self._config.layers - self._on_gpu
        ) * self._config.cpu_layer_ms + self._on_gpu * self._config.gpu_layer_ms
        deadline = self._clock.now_ns() + round((self._config.ttft_ms + layers_ms) * NS_PER_MS)
        for step in range(steps):
            if step == steps // 2:
                self._strike(batch=self._batches)
            self._clock.sleep_until(deadline)
            sink.step()
            jitter = self._random.uniform(0, self._config.jitter_ms) if self._config.jitter_ms else 0.0
            deadline += round((self._config.step_ms + layers_ms + self._slower_ms + jitter) * NS_PER_MS)
        other = self._config.other_from
        usual = range(steps) if not other else (step + (step + 1 >= other) for step in range(steps))
        outputs = [list(usual)] * len(batch.prompts)
        return Generated([steps] * len(batch.prompts), lambda: outputs)

    def synchronize(self) -> None:
        pass

    def release_memory(self) -> None:
        pass

    def reset_peak_memory(self) -> None:
        pass

    def memory(self) -> EngineMemory:
        """What its layers take of the GPU, where it has any."""
        return EngineMemory(allocated_peak=self._held)

    def _strike(self, batch: int) -> None:
        if batch != self._config.fault_batch:
            return
        match self._config.fault:
            case "error":
                raise EngineError("the simulator was told to fail")
            case "crash":
                os.kill(os.getpid(), signal.SIGSEGV)
            case "exit":
                os._exit(7)
            case "oom-kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "out-of-memory":
                bytearray(1 << 62)
            case "hang":
                while True:
                    time.sleep(3600)
            case _:
                pass


def create(clock: Clock) -> SimulatorEngine:
    """A new simulator on this clock."""
    return SimulatorEngine(clock)
