"""The adapter against the recorded surface of every line. The library itself is not here: see the fake's text."""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from support import trtllm
from support.sinks import Stamps

from infertui.config.engines.registry import SPECS
from infertui.config.engines.tensorrt_llm import TensorrtLlmOptions
from infertui.config.schema import DeviceConfig, EngineConfig, ModelConfig
from infertui.errors import ConfigError, EngineError, ModelError
from infertui.measure.clock import MonotonicClock
from infertui.targets.engine.base import Batch, Capacity, EffectiveSettings, Engine, GenerationPlan, LoadRequest, create
from infertui.targets.engine.tensorrt_llm import installation
from infertui.targets.engine.tensorrt_llm.engine import TensorrtLlmEngine
from infertui.targets.engine.verify import check, check_growth, check_loaded, growth

LINES = ("1.0", "1.1", "1.2", "later")
SPEC = SPECS["tensorrt-llm"]
CAPACITY = Capacity(sequences=3, prompt_tokens=8, output_tokens=6)
BATCH = Batch(((1, 2, 3), (4,), (5, 6)), output_len=6)

Install = Callable[..., Path]


@pytest.fixture(autouse=True)
def _no_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    """The trial import has tests of its own; here it would cost a process each."""
    monkeypatch.setattr(installation, "try_import", lambda: "")


def request(model: str = "synthetic:nano", *, capacity: Capacity = CAPACITY, **engine: Any) -> LoadRequest:
    options = engine.pop("options", {})
    config = EngineConfig(name="tensorrt-llm", tensorrt_llm=TensorrtLlmOptions(**options), **engine)
    return LoadRequest(ModelConfig(id=model), config, DeviceConfig(name="cuda"), capacity=capacity)


@contextmanager
def logged(folder: Path) -> Iterator[None]:
    """Standard output goes to a file, as a worker's does."""
    sys.stdout.flush()
    kept = os.dup(1)
    log = os.open(folder / "worker.log", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    os.dup2(log, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(log)


def verdict(asked: LoadRequest, folder: Path) -> EffectiveSettings:
    """What the worker does with an engine: load, check, warm up, check. Raises what it would fail with."""
    with logged(folder):
        engine = create("tensorrt-llm", MonotonicClock())
        try:
            check_loaded(asked.engine, engine.load(asked))
            engine.generate(BATCH, Stamps())
            before = engine.effective()
            check(asked.engine, SPEC, before)
            engine.generate(BATCH, Stamps())
            after = engine.effective()
            check(asked.engine, SPEC, after)
            check_growth(asked.engine, growth(before, after), BATCH.output_len)
            return after
        finally:
            closing(engine)


def closing(engine: Engine) -> None:
    assert isinstance(engine, TensorrtLlmEngine)
    engine.close()


@pytest.mark.parametrize("line", LINES)
def test_every_line_loads_generates_and_proves_what_is_in_force(line: str, install: Install, tmp_path: Path) -> None:
    package = install(line)
    with logged(tmp_path):
        engine = create("tensorrt-llm", MonotonicClock())
        loaded = engine.load(request())
        sink = Stamps()
        generated = engine.generate(BATCH, sink)
        effective = engine.effective()
        closing(engine)

    assert list(generated.counts) == [6, 6, 6]
    assert generated.read() == [[(sum(prompt) + n) % 4096 for n in range(6)] for prompt in BATCH.prompts]
    assert {index: len(seen) for index, seen in sink.sequences.items()} == {0: 6, 1: 6, 2: 6}
    assert not sink.steps
    assert loaded.versions["tensorrt_llm"] == trtllm.VERSIONS[line]
    assert loaded.paths["tensorrt_llm"] == str(package / "__init__.py")
    assert (loaded.engine, loaded.dtype, loaded.device_name) == ("tensorrt-llm", "bfloat16", "NVIDIA H200")
    assert loaded.device_uuid == "GPU-aaaa"
    assert loaded.random_weights
    assert loaded.memory_policy == "KV pool of 160 tokens, 512 MiB, reserved at load"
    assert effective.settings == {
        "dtype": "bfloat16", "mode": "cudagraph", "quantization": "none", "speculation": "none",
        "tensor_parallel": "1", "tensorrt_llm.backend": "pytorch", "tensorrt_llm.kv_cache_dtype": "auto",
        "tensorrt_llm.chunked_prefill": "false", "tensorrt_llm.max_num_tokens": "8192",
        "tensorrt_llm.overlap_scheduler": "on",
    }  # fmt: skip
    assert effective.facts["graphs_captured"] == "1, 2, 3"
    assert effective.facts["looked_at"] == "llm.args and its log"
    told = trtllm.calls(package)[0]
    assert told["load_format"] == "dummy"
    assert told["skip_tokenizer_init"] is True
    assert told["kv_cache_config"]["enable_block_reuse"] is False
    assert told["max_batch_size"] == 3


def test_the_pool_holds_the_workload_and_no_more(install: Install, tmp_path: Path) -> None:
    package = install()
    with logged(tmp_path):
        engine = create("tensorrt-llm", MonotonicClock())
        engine.load(request(capacity=Capacity(sequences=8, prompt_tokens=1000, output_tokens=200)))
        closing(engine)
    told = trtllm.calls(package)[0]
    # 1,200 tokens and two under way are 38 blocks of 32 each, and two blocks to spare.
    assert told["kv_cache_config"]["max_tokens"] == (8 * 38 + 2) * 32
    assert told["max_seq_len"] == 1202
    assert told["cuda_graph_config"]["batch_sizes"] == [1, 2, 4, 8]


def test_a_long_prompt_raises_the_token_budget_unless_it_is_chunked(install: Install, tmp_path: Path) -> None:
    package = install()
    long = Capacity(sequences=1, prompt_tokens=20_000, output_tokens=8)
    with logged(tmp_path):
        for options in ({}, {"chunked_prefill": True}):
            engine = create("tensorrt-llm", MonotonicClock())
            engine.load(request(capacity=long, options=options))
            closing(engine)
    assert [told["max_num_tokens"] for told in trtllm.calls(package)] == [20_000, 8192]
    with pytest.raises(ConfigError, match="max_num_tokens: 512 is less than the longest prompt, 20000"):
        create("tensorrt-llm", MonotonicClock()).load(request(capacity=long, options={"max_num_tokens": 512}))


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize(
    ("engine", "found"),
    [
        ({"mode": "eager"}, {"mode": "eager"}),
        ({"mode": "cudagraph"}, {"mode": "cudagraph"}),
        ({"dtype": "float16"}, {"dtype": "float16"}),
        ({"options": {"kv_cache_dtype": "fp8"}}, {"tensorrt_llm.kv_cache_dtype": "fp8"}),
        ({"options": {"chunked_prefill": True}}, {"tensorrt_llm.chunked_prefill": "true"}),
        ({"options": {"overlap_scheduler": "off"}}, {"tensorrt_llm.overlap_scheduler": "off"}),
        ({"options": {"overlap_scheduler": "on"}}, {"tensorrt_llm.overlap_scheduler": "on"}),
        ({"options": {"max_num_tokens": 256}}, {"tensorrt_llm.max_num_tokens": "256"}),
        ({"tensor_parallel": 2}, {"tensor_parallel": "2"}),
    ],
)
def test_each_option_acts_and_is_proven(
    line: str, engine: dict[str, Any], found: dict[str, str], install: Install, tmp_path: Path
) -> None:
    install(line, gpus=2)
    settings = verdict(request(**engine), tmp_path).settings
    assert found.items() <= settings.items()


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("speculation", ["prompt-lookup", "draft-model", "eagle"])
def test_speculation_by_the_names_of_each_line(line: str, speculation: str, install: Install, tmp_path: Path) -> None:
    package = install(line, tokens_each=3)
    draft = "" if speculation == "prompt-lookup" else "synthetic:nano"
    effective = verdict(request(speculation=speculation, draft_model=draft, draft_tokens=5), tmp_path)

    assert effective.settings["speculation"] == speculation
    # Two iterations of three tokens for each of 6 requests; 1.0 has no metrics: a full draft counts for each.
    drafted = 5 * 2 * 6 if line == "1.0" else 4 * 2 * 6
    assert effective.counters["drafted_tokens"] == drafted
    assert effective.counters["accepted_tokens"] == 4 * 6
    assert effective.facts["acceptance"] == "says nothing: the weights are random"
    config = trtllm.calls(package)[0]["speculative_config"]
    assert config["max_draft_len"] == 5
    if draft:
        key = "speculative_model_dir" if line in ("1.0", "1.1") else "speculative_model"
        assert Path(config[key]).name == "nano"
    else:
        assert config["max_matching_ngram_size"] == 3
        assert config["is_public_pool"] is False


def test_tokens_that_come_together_are_told_together(install: Install, tmp_path: Path) -> None:
    install(tokens_each=4)
    with logged(tmp_path):
        engine = create("tensorrt-llm", MonotonicClock())
        engine.load(request(speculation="prompt-lookup"))
        sink = Stamps()
        engine.generate(BATCH, sink)
        closing(engine)
    assert [tokens for _, tokens in sink.sequences[0]] == [4, 2]


def test_multi_token_prediction_needs_its_layers(install: Install, tmp_path: Path) -> None:
    package = install()
    with pytest.raises(ModelError, match="no layers for multi-token prediction"):
        verdict(request(speculation="mtp"), tmp_path)
    config = json.loads(Path("data/models/nano/config.json").read_text()) | {"num_nextn_predict_layers": 1}
    (tmp_path / "mtp.json").write_text(json.dumps(config))

    found = verdict(request(f"synthetic:{tmp_path}/mtp.json", speculation="mtp"), tmp_path)

    assert found.settings["speculation"] == "mtp"
    told = trtllm.calls(package)[0]
    assert told["speculative_config"]["num_nextn_predict_layers"] == 1
    assert not Path(told["model"]).exists(), "the folder made for a config of another name is removed"


def test_responses_with_new_tokens_alone_are_understood(install: Install, tmp_path: Path) -> None:
    install(chunks=True)
    with logged(tmp_path):
        engine = create("tensorrt-llm", MonotonicClock())
        engine.load(request())
        sink = Stamps()
        generated = engine.generate(BATCH, sink)
        closing(engine)
    assert list(generated.counts) == [6, 6, 6]
    assert generated.read()[0] == [6, 7, 8, 9, 10, 11]
    assert len(sink.sequences[2]) == 6


@pytest.mark.parametrize("line", LINES)
def test_its_own_times_stand_beside_ours(line: str, install: Install, tmp_path: Path) -> None:
    install(line)
    effective = verdict(request(), tmp_path)
    counters = effective.counters
    assert counters["own_requests"] == 6
    if line == "1.0":
        assert counters["own_timed_requests"] == 0
        assert "own_ttft" not in effective.facts
    else:
        assert counters["own_ttft_us"] == 6 * 20_000
        assert counters["own_decode_us"] == 6 * 10_000
        assert effective.facts["own_ttft"].startswith("20.000 ms")


def test_sampling_says_every_choice(install: Install) -> None:
    from infertui.targets.engine.tensorrt_llm.options import Surface, sampling

    install()
    surface = Surface(import_module("tensorrt_llm"), "1.2.1")
    greedy = sampling(surface, BATCH, 1)
    assert (greedy.temperature, greedy.top_k, greedy.top_p, greedy.max_tokens) == (0.0, 1, None, 6)
    assert (greedy.ignore_eos, greedy.end_id, greedy.detokenize) == (True, -1, False)
    drawn = sampling(surface, Batch(((1,),), 4, temperature=0.7, top_k=40, top_p=0.9, seed=10), 2)
    assert (drawn.temperature, drawn.top_k, drawn.top_p, drawn.seed) == (0.7, 40, 0.9, 12)


def test_sampling_with_a_drafting_head_is_refused_since_it_would_be_greedy(install: Install, tmp_path: Path) -> None:
    install()
    with logged(tmp_path):
        engine = create("tensorrt-llm", MonotonicClock())
        engine.load(request(speculation="eagle", draft_model="synthetic:nano"))
        engine.prepare(GenerationPlan(1, (8,), 6), lambda phase: None)
        with pytest.raises(ConfigError, match=r"decodes greedily with engine.speculation = eagle, and it is 0.7"):
            engine.prepare(GenerationPlan(1, (8,), 6, temperature=0.7), lambda phase: None)
        closing(engine)


# -- attempts to fool it


@pytest.mark.parametrize(
    ("does", "engine", "message"),
    [
        ({"drop": ["cuda_graph_config"]}, {"mode": "cudagraph"}, "mode = cudagraph .* eager .*no cuda_graph_config"),
        ({"no_capture": True}, {"mode": "cudagraph"}, "mode = cudagraph .* eager .*by the log: none"),
        ({"ignore": ["cuda_graph_config"]}, {"mode": "eager"}, "mode = eager .* but cudagraph"),
        ({"drop": ["speculative_config"]}, {"speculation": "prompt-lookup"}, "speculation = prompt-lookup .* none"),
        ({"dtype": "float32"}, {"dtype": "float16"}, "dtype = float16 .* float32"),
        ({"tp_size": 1, "gpus": 2}, {"tensor_parallel": 2}, "tensor_parallel = 2 .* 1 is in force"),
        ({"overlap_off": True}, {"options": {"overlap_scheduler": "on"}}, "overlap_scheduler = on .* off"),
        ({"ignore": ["enable_chunked_prefill"]}, {"options": {"chunked_prefill": True}}, "chunked_prefill = true"),
        ({"reuse_on": True}, {}, "reuses KV blocks"),
        ({"cached_tokens": 8}, {}, "took .* prompt tokens from its KV cache"),
        ({"reused_blocks": 2}, {}, "took 6 blocks from its KV cache"),
    ],
)
def test_what_is_not_in_force_fails_the_run(
    does: dict[str, Any], engine: dict[str, Any], message: str, install: Install, tmp_path: Path
) -> None:
    install(**does)
    with pytest.raises(EngineError, match=message):
        verdict(request(**engine), tmp_path)


def test_weights_that_take_twice_the_room_are_not_in_16_bit(install: Install, tmp_path: Path) -> None:
    install(weights_gib=4.2)
    with pytest.raises(EngineError, match=r"dtype = float16 .* float32 is in force"):
        verdict(request("synthetic:tinyllama-1.1b", dtype="float16"), tmp_path)


def test_weights_that_take_what_they_should_are_believed(install: Install, tmp_path: Path) -> None:
    install(weights_gib=2.1)
    assert verdict(request("synthetic:tinyllama-1.1b", dtype="float16"), tmp_path).settings["dtype"] == "float16"


def test_a_pool_other_than_asked_for_is_told(install: Install, tmp_path: Path) -> None:
    install(kv_tokens=96)
    effective = verdict(request(), tmp_path)
    assert effective.facts["kv_pool"] == "KV pool of 96 tokens, 512 MiB, reserved at load"
    assert effective.facts["kv_tokens_asked"] == "160"


def test_a_pool_in_which_sequences_would_wait_is_refused(install: Install, tmp_path: Path) -> None:
    install(kv_tokens=32)
    with pytest.raises(EngineError, match="KV pool holds 32 tokens, and the workload has 42"):
        verdict(request(), tmp_path)


def test_outputs_that_fall_short_are_counted_as_they_are(install: Install, tmp_path: Path) -> None:
    install(short_by=2)
    with logged(tmp_path):
        engine = create("tensorrt-llm", MonotonicClock())
        engine.load(request())
        assert list(engine.generate(BATCH, Stamps()).counts) == [4, 4, 4]
        closing(engine)


def test_without_a_log_the_config_objects_speak(install: Install, tmp_path: Path) -> None:
    install(silent=True)
    effective = verdict(request(mode="cudagraph"), tmp_path)
    assert effective.settings["mode"] == "cudagraph"
    assert effective.facts["looked_at"] == "llm.args alone"
    assert effective.facts["kv_pool"] == "KV pool of 160 tokens, reserved at load"


# -- quantized checkpoints


def quantized(folder: Path, **config: Any) -> str:
    folder.mkdir()
    whole = json.loads(Path("data/models/nano/config.json").read_text()) | config
    (folder / "config.json").write_text(json.dumps(whole))
    return f"synthetic:{folder}"


def test_fp8_is_a_property_of_the_checkpoint(install: Install, tmp_path: Path) -> None:
    install()
    with pytest.raises(EngineError, match=r"needs a checkpoint that is quantized so: .* this one is not quantized"):
        verdict(request(quantization="fp8"), tmp_path)
    awq = quantized(tmp_path / "awq", quantization_config={"quant_method": "awq", "bits": 4})
    with pytest.raises(EngineError, match="this one is quantized as awq-4bit"):
        verdict(request(awq, quantization="fp8"), tmp_path)
    fp8 = quantized(tmp_path / "fp8", quantization_config={"quant_method": "fp8"})
    assert verdict(request(fp8, quantization="fp8"), tmp_path).settings["quantization"] == "fp8"


def test_an_export_of_model_optimizer_is_fp8_and_the_library_may_say_otherwise(
    install: Install, tmp_path: Path
) -> None:
    model = quantized(tmp_path / "modelopt")
    (tmp_path / "modelopt/hf_quant_config.json").write_text(json.dumps({"quantization": {"quant_algo": "FP8"}}))
    install()
    assert verdict(request(model, quantization="fp8"), tmp_path).settings["quantization"] == "fp8"
    install(quant_algo="W4A16_AWQ")
    for name in [name for name in sys.modules if name.startswith("tensorrt_llm")]:
        del sys.modules[name]
    with pytest.raises(EngineError, match=r"quantization = fp8 .* w4a16_awq is in force"):
        verdict(request(model, quantization="fp8"), tmp_path)


# -- refusals and failures


def test_an_option_that_a_version_lacks_is_named_with_the_version(install: Install, tmp_path: Path) -> None:
    package = install()
    setup = json.loads((package / "_fake.json").read_text())
    setup["surface"]["versions"]["1.2"]["without"] = {
        "LLM": ["enable_chunked_prefill"],
        "KvCacheConfig": ["dtype"],
        "NGramDecodingConfig": ["max_matching_ngram_size"],
    }
    (package / "_fake.json").write_text(json.dumps(setup))
    asked: dict[str, dict[str, Any]] = {
        r"1\.2\.1 has no TorchLlmArgs\(enable_chunked_prefill=": {"options": {"chunked_prefill": True}},
        r"1\.2\.1 has no KvCacheConfig\(dtype=": {"options": {"kv_cache_dtype": "fp8"}},
        r"1\.2\.1 has no NGramDecodingConfig\(max_matching_ngram_size=": {"speculation": "prompt-lookup"},
    }
    for message, engine in asked.items():
        with pytest.raises(EngineError, match=message) as caught:
            verdict(request(**engine), tmp_path)
        assert caught.value.remedy
    assert verdict(request(), tmp_path).settings["tensorrt_llm.chunked_prefill"] == "false"


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("Only 1 GPUs are available, but 2 are required.", ModelError, "Only 1 GPUs are available, but 2 are required"),
        ("Unknown architecture \x1b]0;title\x07 Foo", ModelError, "cannot load synthetic:nano: Unknown arch"),
        ("CUDA out of memory. Tried to allocate 2.00 GiB", RuntimeError, "CUDA out of memory"),
    ],
)
def test_failures_of_loading_are_told_in_one_line(
    text: str, kind: type[Exception], message: str, install: Install, tmp_path: Path
) -> None:
    install(raise_at_load=text)
    with pytest.raises(kind, match=message) as caught:
        verdict(request(), tmp_path)
    assert "\x1b" not in str(caught.value)


def test_the_cpu_a_second_gpu_and_an_unknown_workload_are_refused(install: Install) -> None:
    install()
    asked = request()
    for device, message in {"cpu": "runs on NVIDIA GPUs alone", "cuda:1": "takes the first GPU"}.items():
        with pytest.raises(EngineError, match=message):
            create("tensorrt-llm", MonotonicClock()).load(
                LoadRequest(asked.model, asked.engine, DeviceConfig(name=device), capacity=CAPACITY)
            )
    with pytest.raises(EngineError, match="was not told the workload"):
        create("tensorrt-llm", MonotonicClock()).load(LoadRequest(asked.model, asked.engine, DeviceConfig()))


def test_an_error_while_generating_ends_the_batch_and_leaves_the_engine_usable(
    install: Install, tmp_path: Path
) -> None:
    package = install(fail_after=3)
    with logged(tmp_path):
        engine = create("tensorrt-llm", MonotonicClock())
        engine.load(request())
        for _ in range(2):
            with pytest.raises(EngineError, match="failed while generating: Executor worker returned error"):
                engine.generate(BATCH, Stamps())
        closing(engine)
    assert (package / "_aborted").exists()


class Stop(BaseException):
    """As the worker's `Cancelled`."""


def stop_after(count: int) -> Stamps:
    def then() -> None:
        if sum(map(len, sink.sequences.values())) >= count:
            raise Stop

    sink = Stamps(then=then)
    return sink


def test_cancelling_aborts_every_request_and_leaves_the_engine_usable(install: Install, tmp_path: Path) -> None:
    package = install(pace_s=0.01)
    with logged(tmp_path):
        engine = create("tensorrt-llm", MonotonicClock())
        engine.load(request())
        sink = stop_after(5)
        with pytest.raises(Stop):
            engine.generate(Batch(BATCH.prompts, output_len=100_000), sink)
        told = sum(map(len, sink.sequences.values()))
        assert told == 5, "nothing is told after it was stopped"
        assert list(engine.generate(BATCH, Stamps()).counts) == [6, 6, 6]
        assert sum(map(len, sink.sequences.values())) == told
        closing(engine)
    assert (package / "_aborted").read_text() == "xxx"


def test_a_backend_that_does_not_stop_is_left_within_a_second_and_not_used_again(
    install: Install, tmp_path: Path
) -> None:
    install(stall_after=4)
    with logged(tmp_path):
        engine = create("tensorrt-llm", MonotonicClock())
        engine.load(request())
        started = time.monotonic()
        with pytest.raises(Stop):
            engine.generate(Batch(BATCH.prompts, output_len=100), stop_after(5))
        assert time.monotonic() - started < 10, "it did not hang"
        with pytest.raises(EngineError, match="did not stop an earlier batch"):
            engine.generate(BATCH, Stamps())
        closing(engine)


def test_a_batch_that_is_refused_is_an_error_of_the_batch(install: Install, tmp_path: Path) -> None:
    install()
    with logged(tmp_path):
        engine = create("tensorrt-llm", MonotonicClock())
        engine.load(request(options={"max_num_tokens": 16}))
        with pytest.raises(EngineError, match="refuses the batch: The sum of prompt length"):
            engine.generate(Batch(((1,), (1,) * 17), output_len=2), Stamps())
        assert list(engine.generate(BATCH, Stamps()).counts) == [6, 6, 6]
        closing(engine)


def test_closing_shuts_the_library_down_once(install: Install, tmp_path: Path) -> None:
    install()
    with logged(tmp_path):
        engine = create("tensorrt-llm", MonotonicClock())
        engine.load(request())
        closing(engine)
        closing(engine)
    assert (tmp_path / "worker.log").read_text().count("[fake] shut down") == 1


# -- built engines


def built(folder: Path, **changes: Any) -> Path:
    folder.mkdir(parents=True)
    model = {
        "dtype": "float16", "vocab_size": 4096, "max_position_embeddings": 4096, "mapping": {"tp_size": 1},
        "quantization": {"quant_algo": None, "kv_cache_quant_algo": None},
    }  # fmt: skip
    sizes = {"max_batch_size": 4, "max_input_len": 64, "max_seq_len": 128}
    config = {
        "version": "1.2.1",
        "pretrained_config": model | {key: value for key, value in changes.items() if key in model},
        "build_config": sizes | {key: value for key, value in changes.items() if key in sizes},
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "rank0.engine").write_bytes(b"engine")
    return folder


@pytest.fixture
def local(tmp_path: Path) -> str:
    """A model with weights, whose tokenizer is not asked for anything."""
    tokenizers = pytest.importorskip("tokenizers", reason="makes the tokenizer of a model with weights")
    folder = tmp_path / "weighty"
    folder.mkdir()
    (folder / "config.json").write_text(Path("data/models/nano/config.json").read_text())
    (folder / "model.safetensors").write_bytes(b"x" * 64)
    tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0}, "a")).save(str(folder / "tokenizer.json"))
    return str(folder)


@pytest.mark.parametrize("line", ["1.0", "1.1", "1.2"])
def test_a_built_engine_runs_and_is_what_its_config_says(
    line: str, install: Install, local: str, tmp_path: Path
) -> None:
    package = install(line)
    folder = built(tmp_path / "engine")
    asked = request(local, dtype="float16", options={"backend": "engine", "engine_dir": str(folder)})

    effective = verdict(asked, tmp_path)

    assert effective.settings["mode"] == "engine"
    assert effective.settings["tensorrt_llm.engine_dir"] == str(folder)
    assert effective.facts["engine_built_by"] == "1.2.1"
    told = trtllm.calls(package)[0]
    assert told["model"] == str(folder)
    assert "cuda_graph_config" not in told


def test_a_built_engine_of_another_kind_is_refused(install: Install, local: str, tmp_path: Path) -> None:
    install()
    cases: list[tuple[dict[str, Any], dict[str, Any], str]] = [
        ({"dtype": "bfloat16"}, {"dtype": "float16"}, "dtype = float16 .* bfloat16"),
        ({"max_batch_size": 2}, {}, "3 sequences exceed the 2"),
        ({"max_seq_len": 10}, {}, "14 tokens of prompt and output exceed the 10"),
        ({"mapping": {"tp_size": 2}}, {}, "tensor_parallel is 1, and the engine was built for 2"),
        ({}, {"quantization": "fp8"}, "quantization = fp8 .* none is in force"),
        ({}, {"mode": "eager"}, "engine.mode: eager is not for backend = engine"),
        ({}, {"speculation": "prompt-lookup"}, "engine.speculation: prompt-lookup is not for backend = engine"),
    ]
    for number, (changes, engine, message) in enumerate(cases):
        folder = built(tmp_path / f"engine{number}", **changes)
        asked = request(local, options={"backend": "engine", "engine_dir": str(folder)}, **engine)
        with pytest.raises((EngineError, ConfigError), match=message):
            verdict(asked, tmp_path)


def test_where_the_version_has_no_engines_that_is_said(install: Install, local: str, tmp_path: Path) -> None:
    install("later")
    with pytest.raises(EngineError, match=r"1\.4\.0rc1 runs no built engines: .* removed after 1\.2") as caught:
        verdict(request(local, options={"backend": "engine"}), tmp_path)
    assert "backend = pytorch" in caught.value.remedy


def test_without_an_engine_the_command_that_builds_one_is_told(
    install: Install, local: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    install()
    with pytest.raises(EngineError, match="no engine was built") as caught:
        verdict(request(local, options={"backend": "engine"}), tmp_path)
    assert caught.value.remedy == (
        f"infertui build {local} --precision bf16 --batch-size 3 --max-input-len 8 --max-output-len 6"
    )
    with pytest.raises(ModelError, match="has no weights to build an engine from"):
        verdict(request(options={"backend": "engine"}), tmp_path)
