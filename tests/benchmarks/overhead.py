"""Does infertui report the speed that plain `generate` has? On the same loaded model, in one process, turn by turn.

    python tests/benchmarks/overhead.py --device cuda --dtype float16 --model gpt2-124m --batch-size 1 4 --seconds 60

A round is three turns in random order: infertui once, and twice `model.generate` called directly, without infertui's
watching of steps or its heartbeat, timed from outside between two waits for the device. The infertui turn is a batch of
a real `Session` after its own warm-up; its speed is the one that infertui would report. Preparing the inputs and moving
them to the device is inside infertui's turn and not inside the plain one.

Host CPUs change their speed by more than what is looked for here, within seconds. So turns are short and rounds many,
only turns of one round are compared, and the second plain turn says what the comparison can resolve: plain against
plain is 1 but for chance. Each ratio comes with a bootstrap 95 % interval, resampling rounds; the last lines put the
rounds of all cases together. What the runner does meanwhile in its own process, sampling the GPU above all, is not part
of this (see sampler_cost.py and agreement.py).
"""

import argparse
import os
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import torch
import transformers
from msgspec import Struct

from infertui.config.schema import DeviceConfig, EngineConfig, MeasurementConfig, ModelConfig, WorkloadConfig
from infertui.load.batches import BatchSource
from infertui.measure.clock import NS_PER_S, MonotonicClock
from infertui.targets.engine.base import Loaded, LoadRequest
from infertui.targets.engine.resident import resident
from infertui.targets.engine.target import EngineTarget
from infertui.targets.engine.transformers.engine import TransformersEngine
from infertui.worker.child import HEARTBEAT_S
from infertui.worker.protocol import BatchDone, Event, Heartbeat, Measure, encode
from infertui.worker.session import Session
from infertui.worker.stamps import Progress

WARMUP = 5
RESAMPLES = 4000
TRIM = 0.2


class Turns(Struct, frozen=True):
    """Tokens per second of the turns of one round."""

    case: str
    infertui: float
    plain: tuple[float, float]


class Plain:
    """`generate` as anyone would call it, on the engine's own model with the step watch taken off."""

    def __init__(self, engine: TransformersEngine, prompts: list[tuple[int, ...]], tokens: int) -> None:
        self._engine = engine
        self._ids = torch.tensor(prompts, device=engine._device)
        self._mask = torch.ones_like(self._ids)
        self._tokens = tokens

    def __call__(self) -> float:
        """One turn, in tokens per second."""
        model = self._engine._model
        watch = vars(model).pop("_has_unfinished_sequences")
        try:
            self._engine.synchronize()
            start = time.perf_counter_ns()
            output = model.generate(self._ids, attention_mask=self._mask, max_new_tokens=self._tokens, do_sample=False)
            self._engine.synchronize()
            end = time.perf_counter_ns()
        finally:
            model._has_unfinished_sequences = watch
        made = output.numel() - self._ids.numel()
        assert made == self._tokens * len(self._ids)
        return float(made * NS_PER_S / (end - start))


class Rounds:
    """Puts the plain turns around the batches of a session, which calls `emit` after each of them."""

    def __init__(self, case: str, plain: Callable[[], float], pulse: "Pulse") -> None:
        self._case = case
        self._plain = plain
        self._pulse = pulse
        self._random = random.Random(case)
        self._speeds: list[float] = []
        self.done: list[Turns] = []

    def start(self) -> None:
        """The session is warm: warm the plain turns as well, and begin the first round."""
        self._turns(WARMUP)
        self._begin()

    def emit(self, event: Event) -> None:
        """After a measured batch: finish its round, begin the next."""
        if not isinstance(event, BatchDone) or event.batch.phase != "measure":
            return
        assert not event.batch.error, event.batch.error
        self._speeds += self._turns(2 - len(self._speeds))
        self._random.shuffle(self._speeds)
        first, second = self._speeds
        self.done.append(Turns(self._case, event.batch.tokens / event.batch.seconds, (first, second)))
        self._begin()

    def _begin(self) -> None:
        self._speeds = self._turns(self._random.randrange(3))

    def _turns(self, count: int) -> list[float]:
        with self._pulse.held:
            return [self._plain() for _ in range(count)]


class Pulse:
    """The worker's heartbeat thread, which is still while `held` is held."""

    def __init__(self, progress: Progress) -> None:
        self.held = threading.Lock()
        self._progress = progress
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat)

    def __enter__(self) -> "Pulse":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _beat(self) -> None:
        progress = self._progress
        with Path(os.devnull).open("wb", buffering=0) as sink:
            while not self._stop.wait(HEARTBEAT_S):
                with self.held:
                    counts = (progress.batch, progress.step, progress.tokens, progress.progress_ns)
                    sink.write(encode(Heartbeat(time.monotonic_ns(), progress.phase, *counts, resident())))


def measure(args: argparse.Namespace) -> Iterator[list[Turns]]:
    """Rounds of every model and batch size."""
    for model in args.model:
        engine = TransformersEngine()
        request = LoadRequest(
            ModelConfig(id=f"synthetic:{model}"), EngineConfig(dtype=args.dtype), DeviceConfig(name=args.device)
        )
        loaded = engine.load(request)
        for batch in args.batch_size:
            case = f"{model} {loaded.device_name} {loaded.dtype} batch {batch}, {args.tokens} tokens a turn"
            yield measure_case(case, engine, loaded, batch, args)


def measure_case(
    case: str, engine: TransformersEngine, loaded: Loaded, batch: int, args: argparse.Namespace
) -> list[Turns]:
    """Rounds of one model and batch size, until there are enough or the time is up."""
    workload = WorkloadConfig(
        batch_size=batch, input_len=args.prompt_tokens, output_len=args.tokens, prompts="random", num_prompts=batch
    )
    source = BatchSource(
        workload, (), encode=engine.encode, vocabulary=loaded.vocabulary, special_ids=loaded.special_ids
    )
    clock = MonotonicClock()
    progress = Progress(clock)
    with Pulse(progress) as pulse:
        rounds = Rounds(case, Plain(engine, [request.ids for request in source.batch(0)], args.tokens), pulse)
        Session(
            EngineTarget(engine, LoadRequest(ModelConfig(), EngineConfig(), DeviceConfig()), loaded),
            Measure(workload, MeasurementConfig(warmup=WARMUP, max_seconds=args.seconds), (), args.rounds),
            clock=clock,
            progress=progress,
            emit=rounds.emit,
            await_proceed=rounds.start,
            cancelled=threading.Event().is_set,
        ).run()
    return rounds.done


def saved(path: Path) -> Iterator[list[Turns]]:
    """Rounds that `--save` kept, by case."""
    turns = msgspec.json.Decoder(Turns).decode_lines(path.read_bytes())
    for case in dict.fromkeys(turn.case for turn in turns):
        yield [turn for turn in turns if turn.case == case]


Values = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


def median_ratio(speeds: Values, plain: Values) -> Values:
    """Median over rounds (and plain turns) of the ratio within the round. Shapes (..., rounds) and (..., rounds, k)."""
    within = speeds[..., None] / plain
    return np.median(within.reshape(*within.shape[:-2], -1), axis=-1)


def trimmed_ratio(speeds: Values, plain: Values) -> Values:
    """Ratio of the mean times per token, the fastest and slowest fifth of each left out. Shapes as above."""
    return trimmed_mean(1 / plain.reshape(*plain.shape[:-2], -1)) / trimmed_mean(1 / speeds)


def trimmed_mean(values: Values) -> Values:
    """Mean along the last axis without the share `TRIM` at either end."""
    cut = int(TRIM * values.shape[-1])
    return np.asarray(np.sort(values, axis=-1)[..., cut : values.shape[-1] - cut].mean(axis=-1))


def ratios(speeds: Values, plain: Values) -> str:
    """Both ratios with their intervals. Shapes (rounds,) and (rounds, k)."""
    picks = np.random.default_rng(0).integers(0, len(speeds), (RESAMPLES, len(speeds)))
    texts = []
    for name, ratio in (("median of ratios", median_ratio), ("trimmed means", trimmed_ratio)):
        low, high = np.percentile(ratio(speeds[picks], plain[picks]), (2.5, 97.5))
        texts.append(f"{ratio(speeds, plain):.4f} ({low:.4f} to {high:.4f}) {name}")
    return ", ".join(texts)


def report(cases: Iterable[list[Turns]], save: Path | None) -> None:
    """Print what the rounds of each case say, and those of all cases together, each case by its own median."""
    scaled = []
    for turns in cases:
        infertui = np.array([turn.infertui for turn in turns])
        plain = np.array([turn.plain for turn in turns])
        low, middle, high = np.percentile(plain, (5, 50, 95))
        scaled.append((infertui / middle, plain / middle))
        print(f"{turns[0].case}, {len(turns)} rounds")
        print(f"  tok/s, medians    plain {middle:.2f}, infertui {np.median(infertui):.2f}")
        print(f"  tok/s, 5 to 95 %  plain {low:.2f} to {high:.2f}")
        compare(infertui, plain)
        if save:
            with save.open("ab") as file:
                file.write(msgspec.json.Encoder().encode_lines(turns))
    infertui, plain = map(np.concatenate, zip(*scaled, strict=True))
    print(f"all cases, {len(infertui)} rounds")
    compare(infertui, plain)


def compare(infertui: Values, plain: Values) -> None:
    """Print the ratios of a case. Shapes (rounds,) and (rounds, 2)."""
    print(f"  infertui / plain  {ratios(infertui, plain)}")
    print(f"  plain / plain     {ratios(plain[:, 0], plain[:, 1:])}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--model", nargs="+", default=["gpt2-124m"], help="synthetic models")
    parser.add_argument("--batch-size", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--prompt-tokens", type=int, default=20)
    parser.add_argument("--tokens", type=int, default=32, help="new tokens in a turn")
    parser.add_argument("--rounds", type=int, default=200, help="at most, for each model and batch size")
    parser.add_argument("--seconds", type=float, default=0, help="at most, for each model and batch size; 0: no limit")
    parser.add_argument("--save", type=Path, help="append the tokens per second of every round to this JSONL file")
    parser.add_argument("--read", type=Path, help="measure nothing, report what such a file holds")
    args = parser.parse_args()
    if args.read:
        report(saved(args.read), None)
    else:
        print(f"torch {torch.__version__}, transformers {transformers.__version__}")
        report(measure(args), args.save)


if __name__ == "__main__":
    main()
