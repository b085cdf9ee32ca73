"""What does infertui's measuring loop cost? Against a bare `generate` on the same loaded model, in one process.

The two take turns.

    python tests/benchmarks/overhead.py --device cuda --dtype float16 --model gpt2-124m --tokens 200

Two processes that do the very same work differ by several percent where Python's launching of kernels is the
bottleneck (see agreement.py); within one process the two loops can be told apart. The worker's heartbeat thread runs
throughout, as it does when infertui measures. Prints tokens per second of both and the median ratio of pairs.
"""

import argparse
import statistics
import threading
import time

import msgspec
import torch
import transformers

from infertui.config.schema import DeviceConfig, EngineConfig, MeasurementConfig, ModelConfig, WorkloadConfig
from infertui.engines.base import Loaded, LoadRequest
from infertui.engines.transformers import TransformersEngine
from infertui.measure.clock import MonotonicClock
from infertui.worker.child import HEARTBEAT_S
from infertui.worker.memory import resident
from infertui.worker.protocol import BatchDone, Event, Heartbeat, Measure, encode
from infertui.worker.session import Progress, Session


def heartbeats(progress: Progress, stop: threading.Event) -> None:
    while not stop.wait(HEARTBEAT_S):
        encode(Heartbeat(0, "measure", progress.batch, progress.step, progress.tokens, 0, resident()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--model", nargs="+", default=["gpt2-124m"])
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--prompt-tokens", type=int, default=20)
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--pairs", type=int, default=8)
    args = parser.parse_args()
    for model in args.model:
        engine = TransformersEngine()
        request = LoadRequest(
            ModelConfig(id=f"synthetic:{model}"), EngineConfig(dtype=args.dtype), DeviceConfig(name=args.device)
        )
        loaded = msgspec.structs.replace(engine.load(request), warms_by_shape=False)
        for batch in args.batch:
            compare(engine, loaded, batch, args)


def compare(engine: TransformersEngine, loaded: Loaded, batch: int, args: argparse.Namespace) -> None:
    clock = MonotonicClock()
    progress = Progress(clock)
    events: list[Event] = []
    workload = WorkloadConfig(
        batch_size=batch, input_len=args.prompt_tokens, output_len=args.tokens, prompts="random", num_prompts=batch
    )
    session = Session(
        engine,
        loaded,
        Measure(workload, MeasurementConfig(warmup=0), (), 1),
        clock=clock,
        progress=progress,
        emit=events.append,
        await_proceed=lambda: None,
        cancelled=lambda: False,
    )
    ids = torch.tensor([request.ids for request in session._source.batch(0)], device=args.device)

    def bare() -> float:
        engine.synchronize()
        start = time.perf_counter()
        engine._model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=args.tokens, do_sample=False)
        engine.synchronize()
        return time.perf_counter() - start

    def infertui() -> float:
        events.clear()
        session.run()
        return next(event.batch.seconds for event in events if isinstance(event, BatchDone))

    stop = threading.Event()
    beating = threading.Thread(target=heartbeats, args=(progress, stop))
    beating.start()
    for warm in (bare, infertui) * 2:
        warm()
    pairs = []
    for turn in range(args.pairs):
        first, second = (bare, infertui) if turn % 2 == 0 else (infertui, bare)
        times = {first.__name__: first(), second.__name__: second()}
        pairs.append((times["bare"], times["infertui"]))
    stop.set()
    beating.join()
    speeds = [[batch * args.tokens / seconds for seconds in column] for column in zip(*pairs, strict=True)]
    ratio = statistics.median(bare / ours for bare, ours in pairs)
    print(
        f"{loaded.engine} {engine._model.config.model_type} {args.device} {args.dtype} batch {batch}: "
        f"bare {statistics.median(speeds[0]):.2f} tok/s, infertui {statistics.median(speeds[1]):.2f} tok/s, "
        f"median ratio of {args.pairs} pairs {ratio:.4f} (torch {torch.__version__}, "
        f"transformers {transformers.__version__})",
        flush=True,
    )


if __name__ == "__main__":
    main()
