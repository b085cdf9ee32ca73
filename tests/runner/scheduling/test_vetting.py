"""What is known to be wrong is refused when it is asked for, and again when its turn comes; no folder is left of it."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace
from support.checkpoints import save_llama
from support.runs import simulated

from infertui.config.bench_plan import plan_bench
from infertui.config.schema import Config, EngineConfig
from infertui.config.sweep import Place, Variant
from infertui.errors import ConfigError, EngineError, InfertuiError, ModelError
from infertui.models.resolve import ModelSource, resolve
from infertui.runner.control import Submission
from infertui.runner.events import AnyRunEvent, RunRefused
from infertui.runner.runner import Runner
from infertui.runner.scheduling.queue_store import Entry, QueueStore
from infertui.runner.scheduling.vetting import Refusals, refusals, vetted
from infertui.targets.engine.base import Probe
from infertui.telemetry.readings import GpuInfo

EVERYTHING = ("accelerate", "flash_attn", "torchao")


def gpu(capability: str = "9.0", index: int = 0) -> GpuInfo:
    return GpuInfo(index, f"GPU-{index}", "stub", cuda_driver="13.0", compute_capability=capability)


def asked(**values: object) -> Config:
    defaults: dict[str, object] = {
        "engine.name": "transformers", "model.id": "synthetic:nano", "workload.input_len": 8, "workload.output_len": 4
    }  # fmt: skip
    return simulated(**(defaults | values))


def problem(
    config: Config,
    monkeypatch: pytest.MonkeyPatch,
    *gpus: GpuInfo,
    packages: tuple[str, ...] | None = EVERYTHING,
    cuda: str = "13.0",
) -> str:
    """What is said of a config in an environment with those packages; empty where nothing is."""
    found = Probe(config.engine.name, available=True, reason="", cuda=cuda, packages=packages)
    monkeypatch.setattr("infertui.runner.execution.loading.probe_for", lambda engine: found)
    (error,) = asyncio.run(refusals([config], gpus))
    return "" if error is None else str(error)


@pytest.mark.parametrize(
    ("option", "word", "package"),
    [
        ("engine.attention", "flash_attention_2", "flash_attn"),
        ("engine.quantization", "int8", "torchao"),
        ("engine.quantization", "int4", "torchao"),
        ("engine.quantization", "fp8", "torchao"),
        ("engine.quantization", "fp8-dynamic", "torchao"),
        ("engine.tensor_parallel", 2, "accelerate"),
    ],
)
def test_a_word_whose_package_is_not_there(
    monkeypatch: pytest.MonkeyPatch, option: str, word: object, package: str
) -> None:
    config, gpus = asked(**{option: word, "engine.dtype": "bfloat16"}), (gpu(), gpu(index=1))
    others = tuple(name for name in EVERYTHING if name != package)
    said = problem(config, monkeypatch, *gpus, packages=others)
    assert said.startswith(f"{option}: {word} needs {package}")
    assert "pip install" in said
    assert not problem(config, monkeypatch, *gpus)
    assert not problem(config, monkeypatch, *gpus, packages=None), "an engine that does not tell is tried"


@pytest.mark.parametrize(
    ("values", "gpus", "said"),
    [
        ({"engine.attention": "flash_attention_2"}, (gpu("7.5"),), "capability 8.0, and GPU 0 has 7.5"),
        ({"engine.attention": "flash_attention_2", "engine.dtype": "float32"}, (gpu(),), "engine.dtype: float32"),
        ({"engine.attention": "flash_attention_2", "device.name": "cpu"}, (gpu(),), "this run has the CPU"),
        ({"engine.attention": "flash_attention_2", "engine.mode": "cudagraph"}, (gpu(),), "takes no mask"),
        ({"engine.attention": "flash_attention_2", "device.visible": "-1"}, (gpu(),), "this run has the CPU"),
        ({"engine.quantization": "fp8-dynamic"}, (gpu("8.0"),), "capability 8.9, and GPU 0 has 8.0"),
        ({"engine.quantization": "fp8-dynamic", "device.name": "cpu"}, (), "this run has the CPU"),
        ({"engine.quantization": "int4", "engine.dtype": "float16"}, (gpu(),), "engine.dtype: float16"),
        ({"engine.mode": "cudagraph", "device.visible": "-1"}, (gpu(),), "needs a CUDA device"),
        ({"engine.tensor_parallel": 3, "device.name": "cuda"}, (gpu(), gpu(index=1)), "this run can see 2"),
        ({"device.name": "cuda:2"}, (gpu(), gpu(index=1)), "this run can see 2 of 2 GPUs"),
        ({"workload.output_len": 1_000_000}, (), "but the model has"),
        ({"model.id": "synthetic:nowhere"}, (), "no synthetic model"),
        ({"model.id": "no/where"}, (), "no/where"),
        ({"workload.input_len": 0, "workload.prompts_file": "/none.txt"}, (), "workload.prompts_file"),
        ({"quality.perplexity": "on"}, (), "quality.perplexity"),
        ({"engine.name": "vllm", "engine.dtype": "bfloat16"}, (gpu("7.5"),), "engine.dtype: bfloat16 needs a GPU"),
        ({"engine.name": "tensorrt-llm", "engine.quantization": "fp8"}, (gpu("8.0"),), "capability 8.9"),
        ({"engine.name": "llama-cpp", "workload.batch_size": 4, "engine.llama_cpp.n_batch": 2}, (), "n_batch"),
        ({"engine.name": "llama-cpp", "engine.llama_cpp.n_gpu_layers": 3, "device.name": "cpu"}, (gpu(),), "has the"),
    ],
)  # fmt: skip
def test_what_a_device_or_a_model_cannot_do(
    monkeypatch: pytest.MonkeyPatch, values: dict[str, object], gpus: tuple[GpuInfo, ...], said: str
) -> None:
    assert said in problem(asked(**values), monkeypatch, *gpus)


def test_layers_for_a_gpu_need_a_build_that_can_use_one(monkeypatch: pytest.MonkeyPatch) -> None:
    layers = asked(**{"engine.name": "llama-cpp", "engine.llama_cpp.n_gpu_layers": 3})
    assert "this run has the CPU" in problem(layers, monkeypatch, cuda="none")
    assert "this run has the CPU" in problem(layers, monkeypatch, gpu(), cuda="none")
    assert not problem(layers, monkeypatch, gpu())
    assert not problem(layers, monkeypatch, cuda=""), "without readings a library may see one"
    assert not problem(asked(**{"engine.name": "llama-cpp"}), monkeypatch, gpu(), cuda="none")
    asking = asked(**{"engine.name": "llama-cpp", "device.name": "cuda"})
    assert "llama-cpp-python is built without CUDA" in problem(asking, monkeypatch, gpu(), cuda="none")


def test_what_may_go_with_auto_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without readings a library may see a GPU all the same."""
    graph = asked(**{"engine.mode": "cudagraph"})
    assert not problem(graph, monkeypatch)
    assert "needs a CUDA device" in problem(graph, monkeypatch, cuda="none")
    assert not problem(graph, monkeypatch, gpu())


def test_drafts_are_looked_for_and_go_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = str(tmp_path / "model")
    save_llama(tmp_path / "model")
    drafting = {"model.id": model, "engine.speculation": "draft-model"}
    said = problem(asked(**drafting, **{"engine.draft_model": "no/where"}), monkeypatch)
    assert said.startswith("engine.draft_model: ")
    here = {**drafting, "engine.draft_model": model}
    assert not problem(asked(**here), monkeypatch)
    assert "workload.batch_size" in problem(asked(**here, **{"workload.batch_size": 2}), monkeypatch)


def test_a_sweep_runs_what_can_and_tells_the_rest(tmp_path: Path) -> None:
    events: list[AnyRunEvent] = []
    wrong = simulated(workload__prompts_file=str(tmp_path / "none.txt"))
    variants = [Variant("good", simulated(), {}), Variant("bad", wrong, {}), Variant("", simulated(), {})]

    async def scenario() -> tuple[Entry, ...]:
        async with asyncio.timeout(60), Runner(on_event=events.append) as runner:
            results = await runner.run_all(variants, tmp_path / "out")
            assert [result.state for result in results] == ["finished", "finished"]
            return (await runner.snapshot()).entries

    entries = asyncio.run(scenario())
    assert [entry.state for entry in entries] == ["finished", "refused", "finished"]
    assert entries[1].reason.startswith("workload.prompts_file: ")
    assert "run 2 of 3, bad" in entries[1].reason
    (refused,) = [event for event in events if isinstance(event, RunRefused)]
    assert (refused.name, refused.number, refused.total, refused.error.kind) == ("bad", 2, 3, "config")
    assert len(list((tmp_path / "out").glob("*/result.json"))) == 2


async def all_ended(runner: Runner) -> tuple[Entry, ...]:
    async for _ in runner.events(0):
        entries = (await runner.snapshot()).entries
        if all(entry.ended for entry in entries):
            return entries
    raise AssertionError("the runner ended")


def bench(*configs: Config) -> list[Variant]:
    return plan_bench([(f"arm {number}", config) for number, config in enumerate(configs)], 2, 1)


@pytest.mark.parametrize(
    ("variants", "kind"),
    [
        ([Variant("", simulated(model__id="no/where", engine__name="transformers"), {})], ModelError),
        ([Variant("", simulated(workload__prompts_file="/none.txt"), {})] * 3, ConfigError),
        ([Variant("", simulated(engine__name="transformers", engine__python="/none/python"), {})] * 2, EngineError),
        (bench(simulated(), simulated(workload__prompts_file="/none.txt")), ConfigError),
    ],
)  # fmt: skip
def test_nothing_is_queued_where_nothing_can_be_learned(
    tmp_path: Path, variants: Sequence[Variant], kind: type[InfertuiError]
) -> None:
    async def scenario() -> None:
        async with asyncio.timeout(60), Runner() as runner:
            with pytest.raises(kind) as caught:
                await runner.submit(Submission("t", tuple(variants), str(tmp_path / "out")))
            if len(variants) > 1:
                assert f"of {len(variants)}" in caught.value.message
            assert not (await runner.snapshot()).entries

    asyncio.run(scenario())
    assert not (tmp_path / "out").exists()


def test_an_entry_that_has_become_wrong_while_it_waited_is_refused(tmp_path: Path) -> None:
    """As one of a queue that another runner left, or whose file or GPU went away."""
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("one\n")

    async def scenario() -> None:
        async with asyncio.timeout(60), Runner(QueueStore(tmp_path / "queue.sqlite")) as runner:
            await runner.pause()
            both = [Variant("", simulated(workload__prompts_file=str(prompts)), {}), Variant("", simulated(), {})]
            await runner.submit(Submission("t", tuple(both), str(tmp_path / "out")))

    async def later() -> tuple[Entry, ...]:
        async with asyncio.timeout(60), Runner(QueueStore(tmp_path / "queue.sqlite")) as runner:
            assert [entry.state for entry in (await runner.snapshot()).entries] == ["queued", "queued"]
            await runner.resume()
            entries = await all_ended(runner)
            with pytest.raises(ConfigError, match=r"workload\.prompts_file"):
                await runner.retry([entries[0].id])
            with pytest.raises(ConfigError, match=r"workload\.prompts_file"):
                await runner.duplicate([entries[0].id])
            return entries

    asyncio.run(scenario())
    prompts.unlink()
    first, second = asyncio.run(later())
    assert (first.state, second.state) == ("refused", "finished")
    assert "workload.prompts_file" in first.reason
    assert not first.run
    assert len(list((tmp_path / "out").glob("*/"))) == 1


def test_what_happens_to_an_entry_while_it_is_looked_at_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits until then: it may be taken out, changed, or held back by a pause; and the runner may end."""
    looking: asyncio.Queue[asyncio.Event] = asyncio.Queue()

    async def held(configs: Sequence[Config], gpus: tuple[GpuInfo, ...], limit_s: float) -> Refusals:
        go_on = asyncio.Event()
        await looking.put(go_on)
        await go_on.wait()
        return (None,) * len(configs)

    monkeypatch.setattr("infertui.runner.scheduling.scheduler.refusals", held)
    variants = tuple(Variant(name, simulated(), {}) for name in ("cancelled", "edited"))

    async def scenario() -> None:
        async with asyncio.timeout(60), Runner(QueueStore(tmp_path / "queue.sqlite")) as runner:
            first, second = await runner.submit(Submission("t", variants, str(tmp_path / "out")))
            at_the_first = await looking.get()
            await runner.cancel([first])
            at_the_first.set()
            at_the_second = await looking.get()
            await runner.edit(second, Variant("edited", simulated(workload__batch_size=2), {}))
            at_the_second.set()
            (await looking.get()).set()
            await all_ended(runner)
            await runner.submit(Submission("t", (Variant("left", simulated(), {}),), str(tmp_path / "out")))
            await looking.get()

    asyncio.run(scenario())
    entries = QueueStore(tmp_path / "queue.sqlite").entries()
    assert [entry.state for entry in entries] == ["cancelled", "finished", "queued"], (
        "the last waits for another runner"
    )
    assert entries[1].config.workload.batch_size == 2
    assert len(list((tmp_path / "out").glob("*/"))) == 1


def test_an_entry_that_leaves_while_it_is_looked_at_holds_nothing_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: asyncio.Queue[Config] = asyncio.Queue()

    async def hanging(configs: Sequence[Config], gpus: tuple[GpuInfo, ...], limit_s: float) -> Refusals:
        await begun.put(configs[0])
        if configs[0].workload.batch_size > 1:
            await asyncio.sleep(3600)
        return (None,) * len(configs)

    monkeypatch.setattr("infertui.runner.scheduling.scheduler.refusals", hanging)
    slow, other = simulated(workload__batch_size=2), simulated()
    variants = (Variant("removed", slow, {}), Variant("cancelled", slow, {}), Variant("other", other, {}))

    async def scenario() -> tuple[Entry, ...]:
        async with asyncio.timeout(60), Runner(QueueStore(tmp_path / "queue.sqlite")) as runner:
            first, second, _ = await runner.submit(Submission("t", variants, str(tmp_path / "out")))
            await begun.get()
            await runner.remove([first])
            await begun.get()
            await runner.cancel([second])
            await runner.clear()
            return await all_ended(runner)

    (entry,) = asyncio.run(scenario())
    assert (entry.name, entry.state) == ("other", "finished")


def test_loads_are_for_endpoints_and_their_traces_are_read(tmp_path: Path) -> None:
    (tmp_path / "trace").write_text("no trace")

    def served(**more: object) -> Config:
        url = {"target.kind": "endpoint", "target.url": "http://127.0.0.1:9"}
        return replace(simulated(**url, **more), engine=EngineConfig())

    found = asyncio.run(
        refusals(
            [
                simulated(**{"load.request_rate": 5.0}),
                served(**{"load.request_rate": 5.0}),
                served(**{"load.steps": "5"}),
                served(**{"load.trace": str(tmp_path / "trace")}),
                served(**{"workload.prompts_file": str(tmp_path / "none")}),
                replace(served(), engine=EngineConfig(mode="eager")),
            ],
            (),
        )
    )
    assert [error and error.path for error in found if error is None or isinstance(error, ConfigError)] == [
        "load.request_rate", None, "load.steps", "load.trace", "workload.prompts_file", "engine.mode",
    ]  # fmt: skip


def test_a_check_that_is_broken_refuses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(request: object, source: object) -> None:
        raise TypeError("a bug of another package")

    monkeypatch.setattr("infertui.runner.scheduling.vetting.check", broken)
    assert not problem(asked(), monkeypatch)


def test_looking_never_takes_long() -> None:
    """A file system that hangs, and a sweep of thousands: what was not looked at is let through."""
    wrong = Variant("", simulated(workload__prompts_file="/none.txt"), {})
    assert asyncio.run(vetted([wrong] * 2, (), limit_s=0.0)) == (None, None)


def test_a_sweep_asks_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def counted(model: str, revision: str) -> ModelSource:
        calls.append(model)
        return resolve(model, revision)

    monkeypatch.setattr("infertui.runner.scheduling.vetting.resolve", counted)
    configs = [asked(**{"workload.batch_size": size}) for size in range(1, 200)]
    assert asyncio.run(refusals(configs, ())) == (None,) * 199
    assert calls == ["synthetic:nano"]


def test_a_model_that_is_no_decoder(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"model_type": "bert", "architectures": ["BertForMaskedLM"], "hidden_size": 768}')
    with pytest.raises(ModelError, match="not a decoder-only language model: bert is an encoder"):
        asyncio.run(vetted([Variant("", asked(**{"model.id": f"synthetic:{path}"}), {})], ()))
    unread = simulated(model__id=f"synthetic:{path}")
    assert asyncio.run(vetted([Variant("", unread, {}, Place("b", "a", 0, 1))], ())) == (None,), (
        "the simulator has none"
    )
