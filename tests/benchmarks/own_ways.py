"""Does infertui report what a library gives its users? Each engine against its library's own public way, in turns.

    python tests/benchmarks/own_ways.py --device cpu --batch 1 4 --rounds 5
    python tests/benchmarks/own_ways.py --engine vllm --device cuda --model tinyllama-1.1b --dtype bfloat16 \
        --batch 1 8 32 --prompt-tokens 100 --tokens 200 --iterations 5 --rounds 3 --minutes 8

Every side is a process of its own, the order turned round by round; what is compared is wall time of whole batches,
median of a process. Against each engine stand

    transformers   model.generate, in a script of a few lines
    llama-cpp      Llama.generate of llama-cpp-python; llama-bench with --llama-bench PATH: one sequence each
    openvino       LLMPipeline.generate of OpenVINO GenAI, by its own perf_metrics as well: one sequence
    onnxruntime-genai
                   Generator.generate_next_token until it is done, as in the library's own benchmark
    vllm           LLM.generate, and its own `vllm bench latency`; then one thing at a time that could make a
                   difference, each against the same LLM

TensorRT-LLM was never run on hardware and is not compared. Differences of more than 2 % are marked; for vLLM the lines
below name the part that makes them.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from infertui.config.engines.vllm import VllmOptions
from infertui.config.schema import DeviceConfig, Dtype, EngineConfig, MeasurementConfig, ModelConfig, WorkloadConfig
from infertui.measure.clock import MonotonicClock
from infertui.measure.comparison import paired
from infertui.models.resolve import resolve
from infertui.targets.engine.base import Capacity, LoadRequest, create, spec_of
from infertui.targets.engine.target import EngineTarget
from infertui.worker.protocol import BatchDone, Event, Measure
from infertui.worker.session import Session
from infertui.worker.stamps import Progress

BARE = Path(__file__).with_name("bare_generate.py")
WARMUP = 2
SIDE_TIMEOUT_S = 300.0
SAME = 0.02
"""Differences up to this share count as none."""

Seconds = dict[str, list[float]]
"""Seconds of each measured batch, by `SIDE bBATCH`."""


class Task(msgspec.Struct):
    """What a side is asked for: its name, and the sizes that all sides share."""

    side: str
    engine: str
    model: str
    device: str
    dtype: Dtype
    batches: list[int]
    prompt_tokens: int
    tokens: int
    iterations: int
    threads: int
    llama_bench: str = ""

    def prompts(self, batch: int, seed: int) -> list[list[int]]:
        """Random ids that every model here has."""
        import random

        draw = random.Random(seed)
        return [[draw.randrange(3, 250) for _ in range(self.prompt_tokens)] for _ in range(batch)]

    def request(self, engine: EngineConfig) -> LoadRequest:
        capacity = Capacity(max(self.batches), self.prompt_tokens, self.tokens)
        sized = spec_of(engine.name).sized_at_load
        return LoadRequest(
            ModelConfig(id=f"synthetic:{self.model}"), engine, DeviceConfig(name=self.device, threads=self.threads),
            capacity=capacity if sized else None,
        )  # fmt: skip


# -- sides: each in a process of its own


def infertui(task: Task, **options: Any) -> Seconds:
    """The engine, driven by the measuring loop of a worker."""
    config = EngineConfig(name=task.engine, dtype=task.dtype, **options)
    engine = create(task.engine, MonotonicClock())
    loaded = engine.load(task.request(config))
    measured: Seconds = {}
    for batch in task.batches:
        events: list[Event] = []
        clock = MonotonicClock()
        workload = WorkloadConfig(
            batch_size=batch, input_len=task.prompt_tokens, output_len=task.tokens, prompts="random"
        )
        command = Measure(workload, MeasurementConfig(warmup=WARMUP), (), task.iterations)
        target = EngineTarget(engine, LoadRequest(ModelConfig(), config, DeviceConfig()), loaded)
        Session(
            target, command, clock=clock, progress=Progress(clock), emit=events.append,
            await_proceed=lambda: None, cancelled=lambda: False,
        ).run()  # fmt: skip
        batches = [event.batch for event in events if isinstance(event, BatchDone) and event.batch.phase == "measure"]
        assert not any(each.error for each in batches), [each.error for each in batches]
        measured[f"{task.side} b{batch}"] = [each.seconds for each in batches]
    return measured


def timed(task: Task, work: Callable[[list[list[int]]], int]) -> Iterator[tuple[int, list[float]]]:
    """Batch size and seconds of each of its iterations; `work` gives the tokens that it made."""
    for batch in task.batches:
        seconds = []
        for turn in range(WARMUP + task.iterations):
            prompts = task.prompts(batch, turn)
            start = time.perf_counter()
            made = work(prompts)
            seconds.append(time.perf_counter() - start)
            assert made == batch * task.tokens, f"{made} tokens of {batch * task.tokens}"
        yield batch, seconds[WARMUP:]


def bare_transformers(task: Task) -> Seconds:
    from infertui import paths

    measured = {}
    for batch in task.batches:
        numbers = map(str, (batch, task.prompt_tokens, task.tokens, task.iterations))
        config = paths.data() / "models" / task.model
        command = [sys.executable, str(BARE), str(config), task.device, task.dtype, *numbers]
        answer = subprocess.run(command, check=True, capture_output=True, text=True)
        measured[f"{task.side} b{batch}"] = json.loads(answer.stdout.strip().split("\n")[-1])
    return measured


def gguf_of(task: Task) -> Path:
    from infertui.targets.engine.llama_cpp.model import find_weights_file

    model, engine = ModelConfig(id=f"synthetic:{task.model}"), EngineConfig(name="llama-cpp", dtype=task.dtype)
    kind: Any = task.device.partition(":")[0]
    return find_weights_file(resolve(model.id), model, engine, kind).path


def bare_llama_cpp(task: Task) -> Seconds:
    """Llama.generate, token by token, greedy; the prefix of an earlier prompt is forgotten first."""
    import llama_cpp

    positions = -(-(task.prompt_tokens + task.tokens) // 256) * 256
    threads = {"n_threads": task.threads, "n_threads_batch": task.threads} if task.threads else {}
    layers = -1 if task.device != "cpu" else 0
    llama = llama_cpp.Llama(str(gguf_of(task)), n_ctx=positions, n_gpu_layers=layers, verbose=False, **threads)

    def work(prompts: list[list[int]]) -> int:
        llama.reset()
        made = 0
        for _ in llama.generate(prompts[0], temp=0.0, repeat_penalty=1.0):
            made += 1
            if made == task.tokens:
                break
        return made

    return {f"{task.side} b{batch}": seconds for batch, seconds in timed(task, work)}


def llama_bench(task: Task) -> Seconds:
    """llama.cpp's own program: a prompt and its continuation in one test, without sampling."""
    layers = "99" if task.device != "cpu" else "0"
    command = [
        task.llama_bench, "-m", str(gguf_of(task)), "-p", "0", "-n", "0", "-pg", f"{task.prompt_tokens},{task.tokens}",
        "-r", str(task.iterations), "-ngl", layers, "-o", "json", *(["-t", str(task.threads)] if task.threads else []),
    ]  # fmt: skip
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    (test,) = json.loads(answer.stdout)
    return {f"{task.side} b1": [nanoseconds / 1e9 for nanoseconds in test["samples_ns"]]}


def bare_openvino(task: Task) -> Seconds:
    """LLMPipeline.generate; what its own perf_metrics call the duration stands beside the wall clock."""
    import numpy as np
    import openvino
    import openvino_genai

    from infertui.targets.engine.openvino.engine import _HINTS
    from infertui.targets.engine.openvino.source import prepared

    asked = task.request(EngineConfig(name="openvino", dtype=task.dtype))
    own: Seconds = {}
    with tempfile.TemporaryDirectory() as folder:
        model = prepared(resolve(asked.model.id), asked, task.dtype, Path(folder))
        threads = {"INFERENCE_NUM_THREADS": task.threads} if task.threads else {}
        precision = {"INFERENCE_PRECISION_HINT": _HINTS[task.dtype], "KV_CACHE_PRECISION": _HINTS[task.dtype]}
        pipeline = openvino_genai.LLMPipeline(str(model.path), "CPU", **threads, **precision)
        config = openvino_genai.GenerationConfig()
        config.max_new_tokens, config.ignore_eos, config.do_sample = task.tokens, True, False
        config.eos_token_id = 0

        def work(prompts: list[list[int]]) -> int:
            found = pipeline.generate(openvino.Tensor(np.array(prompts, dtype=np.int64)), config)
            durations.append(found.perf_metrics.get_generate_duration().mean / 1e3)
            return sum(map(len, found.tokens))

        measured = {}
        durations: list[float] = []
        for batch, seconds in timed(task, work):
            measured[f"{task.side} b{batch}"] = seconds
            own[f"{task.side}, by perf_metrics b{batch}"] = durations[-task.iterations :]
    return measured | own


def bare_onnxruntime_genai(task: Task) -> Seconds:
    """A generator a batch, stepped until it is done; its tokens are read at the end."""
    import numpy as np

    from infertui.targets.engine.onnxruntime_genai import loading
    from infertui.targets.engine.onnxruntime_genai.asked import recipe
    from infertui.targets.engine.onnxruntime_genai.conversion import converted

    og = loading.library()
    asked = task.request(EngineConfig(name="onnxruntime-genai", dtype=task.dtype))
    source = resolve(asked.model.id)
    config = og.Config(str(converted(source, recipe(asked, source))))
    if task.threads:
        threads = {"intra_op_num_threads": task.threads}
        config.overlay(json.dumps({"model": {"decoder": {"session_options": threads}}}))
    model = og.Model(config)

    def work(prompts: list[list[int]]) -> int:
        params = og.GeneratorParams(model)
        length = task.prompt_tokens + task.tokens
        params.set_search_options(batch_size=len(prompts), max_length=length, min_length=length, do_sample=False)
        generator = og.Generator(model, params)
        generator.append_tokens(np.array(prompts, dtype=np.int32))
        while not generator.is_done():
            generator.generate_next_token()
        return sum(len(generator.get_sequence(row)) - task.prompt_tokens for row in range(len(prompts)))

    return {f"{task.side} b{batch}": seconds for batch, seconds in timed(task, work)}


def bare_vllm(task: Task, core: str = "process", **arguments: Any) -> Seconds:
    """LLM.generate as it is; with the core in the process also with text made of the tokens, and `step` by hand."""
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = str(int(core == "process"))
    from vllm import LLM, SamplingParams
    from vllm.sampling_params import RequestOutputKind

    def sampling(**chosen: Any) -> Any:
        return SamplingParams(temperature=0, max_tokens=task.tokens, ignore_eos=True, **chosen)

    with vllm_folder(task) as folder:
        pool = 2 << 30 if task.device == "cpu" else 12 << 30
        llm = LLM(
            model=str(folder), load_format="dummy", dtype=task.dtype, enable_prefix_caching=False,
            kv_cache_memory_bytes=pool, **arguments,
        )  # fmt: skip

        def generate(prompts: list[list[int]], **chosen: Any) -> int:
            asked = [{"prompt_token_ids": prompt} for prompt in prompts]
            outputs = llm.generate(asked, sampling(**chosen), use_tqdm=False)
            return sum(len(output.outputs[0].token_ids) for output in outputs)

        def by_step(prompts: list[list[int]], kind: Any) -> int:
            engine, made = llm.llm_engine, 0
            for prompt in prompts:
                numbers[0] += 1
                asked = {"prompt_token_ids": prompt}
                engine.add_request(f"h{numbers[0]}", asked, sampling(detokenize=False, output_kind=kind))
            while engine.has_unfinished_requests():
                made += sum(len(output.outputs[0].token_ids) for output in engine.step())
            return made

        numbers = [0]
        ways: dict[str, Callable[[list[list[int]]], int]] = {
            "": lambda prompts: generate(prompts, detokenize=False),
            ", text made": generate,
            ", step by hand": lambda prompts: by_step(prompts, RequestOutputKind.FINAL_ONLY),
            ", output for every token": lambda prompts: by_step(prompts, RequestOutputKind.DELTA),
        }
        if arguments or core == "process":  # what differs by the way is seen once, where nothing waits for a socket
            ways = {"": ways[""]}
        return {
            f"{task.side}{way} b{batch}": seconds for way, work in ways.items() for batch, seconds in timed(task, work)
        }


def vllm_bench_latency(task: Task) -> Seconds:
    """vLLM's own program: a process a batch size, prompts of random ids, text made of the tokens unless told not to."""
    measured = {}
    with vllm_folder(task) as folder:
        for batch in task.batches:
            answer = folder / "latency.json"
            numbers = {
                "--batch-size": batch, "--input-len": task.prompt_tokens, "--output-len": task.tokens,
                "--num-iters-warmup": WARMUP, "--num-iters": task.iterations,
            }  # fmt: skip
            command = [
                sys.executable, "-m", "vllm.entrypoints.cli.main", "bench", "latency", "--model", str(folder),
                "--load-format", "dummy", "--dtype", task.dtype, "--kv-cache-memory-bytes", str(12 << 30),
                "--no-enable-prefix-caching", "--disable-detokenize", "--output-json", str(answer),
                *(word for name, number in numbers.items() for word in (name, str(number))),
            ]  # fmt: skip
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert not done.returncode, done.stderr[-600:]
            measured[f"{task.side} b{batch}"] = json.loads(answer.read_text())["latencies"]
    return measured


@contextmanager
def vllm_folder(task: Task) -> Iterator[Path]:
    """The model's config with a tokenizer of as many tokens: text can be made of what the dummy weights say."""
    import shutil

    from tokenizers import Tokenizer, decoders, models
    from transformers import PreTrainedTokenizerFast

    source = resolve(f"synthetic:{task.model}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copyfile(source.path, folder / "config.json")
        words = {"<s>": 0, "</s>": 1, **{f"w{number}": number for number in range(2, source.shape.vocab)}}
        tokenizer = Tokenizer(models.BPE(vocab=words, merges=[]))
        tokenizer.decoder = decoders.ByteLevel()
        PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>").save_pretrained(folder)  # noqa: S106
        yield folder


def fitted(task: Task) -> dict[str, int]:
    return {"max_model_len": task.prompt_tokens + task.tokens, "max_num_seqs": max(task.batches)}


SIDES: dict[str, dict[str, Callable[[Task], Seconds]]] = {
    "transformers": {"infertui": infertui, "model.generate": bare_transformers},
    "llama-cpp": {"infertui": infertui, "Llama.generate": bare_llama_cpp, "llama-bench": llama_bench},
    "openvino": {"infertui": infertui, "LLMPipeline.generate": bare_openvino},
    "onnxruntime-genai": {"infertui": infertui, "generate_next_token": bare_onnxruntime_genai},
    "vllm": {
        "infertui": infertui,
        "LLM.generate": lambda task: bare_vllm(task),
        "vllm bench latency": vllm_bench_latency,
        "infertui, sizes of the workload": lambda task: infertui(task, vllm=VllmOptions(sizes="workload")),
        "infertui, core in the worker": lambda task: infertui(task, vllm=VllmOptions(engine_core="in-process")),
        "LLM.generate, core in the process": lambda task: bare_vllm(task, core="in-process"),
        "LLM.generate, sizes of the workload": lambda task: bare_vllm(task, core="in-process", **fitted(task)),
        "LLM.generate, short max_model_len": lambda task: bare_vllm(
            task, core="in-process", max_model_len=task.prompt_tokens + task.tokens
        ),
        "LLM.generate, small max_num_seqs": lambda task: bare_vllm(
            task, core="in-process", max_num_seqs=max(task.batches)
        ),
        "LLM.generate, own metrics": lambda task: bare_vllm(task, core="in-process", disable_log_stats=False),
    },
}
"""By engine: infertui first, the library's own way second, then what explains; those are run once, at the end."""
_PAIR = 2


# -- the comparison


def run(task: Task) -> Seconds:
    """A side in a process of its own; what it prints beside its answer is kept out of the way."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_LOGGING_LEVEL": "ERROR"}
    if task.threads:
        environment["OMP_NUM_THREADS"] = str(task.threads)
    with tempfile.NamedTemporaryFile() as file, tempfile.TemporaryFile() as told:
        command = [sys.executable, __file__, "--side", msgspec.json.encode(task).decode(), "--answer", file.name]
        # No pipes: an engine core that outlives its side would hold them open.
        side = subprocess.Popen(command, env=environment, stdout=told, stderr=told, start_new_session=True)
        try:
            side.wait(SIDE_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            print(f"    {task.side} took longer than {SIDE_TIMEOUT_S:.0f} s", flush=True)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(side.pid, signal.SIGKILL)
            side.wait()
        if side.returncode:
            told.seek(0)
            print(f"    {task.side} failed: {told.read().decode(errors='replace').strip()[-600:]}", flush=True)
            return {}
        answer: Seconds = json.loads(Path(file.name).read_bytes())
        return answer


def speeds(task: Task, seconds: Seconds) -> dict[str, float]:
    """Tokens a second of each side and batch, by the median of its iterations."""
    return {
        name: int(name.rpartition(" b")[2]) * task.tokens / statistics.median(each) for name, each in seconds.items()
    }


def compare(task: Task, sides: list[str], rounds: int, deadline: float) -> None:
    found: dict[str, list[float]] = {}

    def take(side: str) -> None:
        if time.monotonic() < deadline:
            began = time.monotonic()
            for name, speed in speeds(task, run(msgspec.structs.replace(task, side=side))).items():
                found.setdefault(name, []).append(speed)
            print(f"    {side}: {time.monotonic() - began:.0f} s", flush=True)

    pair, explaining = sides[:_PAIR], sides[_PAIR:]
    for turn in range(rounds):
        for side in pair if turn % 2 == 0 else pair[::-1]:
            take(side)
    for side in explaining:
        take(side)
    ours, theirs = pair
    print(f"\n| {task.engine}, {task.model}, {task.device}, {task.dtype} | batch | tok/s | to {theirs} | |")
    print("| --- | --- | --- | --- | --- |")
    for name in sorted(found, key=lambda name: (int(name.rpartition(" b")[2]), list(found).index(name))):
        side, _, batch = name.rpartition(" b")
        against = found.get(f"{theirs} b{batch}", [])
        n = min(len(against), len(found[name]))
        ratio = paired(against[:n], found[name][:n]) if side != theirs else None
        told = "" if ratio is None else f"{ratio.value:.3f}"
        mark = ""
        if ratio is not None:
            told += f" ({ratio.interval.low:.3f} to {ratio.interval.high:.3f})" if ratio.interval else f" (n={n})"
            mark = "" if abs(ratio.value - 1) <= SAME else "differs" if side == ours else "explains"
        print(f"| {side} | {batch} | {statistics.median(found[name]):,.1f} | {told} | {mark} |")
    print(flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", nargs="+", choices=SIDES, default=["transformers", "llama-cpp", "openvino"])
    parser.add_argument("--model", default="gpt2-124m")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--batch", type=int, nargs="+", default=[1])
    parser.add_argument("--prompt-tokens", type=int, default=20)
    parser.add_argument("--tokens", type=int, default=60)
    parser.add_argument("--iterations", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3, help="pairs of processes; below three there is no interval")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=30, help="start no further process after this long")
    parser.add_argument("--llama-bench", default="", metavar="PATH")
    parser.add_argument("--only", nargs="+", metavar="SIDE", help="these sides of one engine, the first two in turns")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--answer", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        task = msgspec.json.decode(args.side, type=Task)
        Path(args.answer).write_text(json.dumps(SIDES[task.engine][task.side](task)), encoding="utf-8")
        sys.stdout.flush()
        os._exit(0)  # engines may hang at their end, and everything was said
    deadline = time.monotonic() + 60 * args.minutes
    for engine in args.engine:
        alone = engine in ("llama-cpp", "openvino")  # whose own ways take one sequence at a time
        task = Task(
            "", engine, args.model, args.device, args.dtype, [1] if alone else args.batch, args.prompt_tokens,
            args.tokens, args.iterations, args.threads, args.llama_bench,
        )  # fmt: skip
        sides = args.only or [name for name in SIDES[engine] if name != "llama-bench" or args.llama_bench]
        print(f"{engine}: {', '.join(sides)}", flush=True)
        compare(task, sides, args.rounds, deadline)


if __name__ == "__main__":
    main()
