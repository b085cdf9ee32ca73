"""The OpenVINO engine on a CPU, with the real library: what it generates, and that it says what is in force."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.sinks import Stamps

from infertui.config.engines.openvino import SPEC, OpenvinoOptions
from infertui.config.schema import DeviceConfig, EngineConfig, ModelConfig
from infertui.errors import ConfigError, EngineError, InfertuiError, ModelError
from infertui.measure.clock import MonotonicClock
from infertui.models.gguf.write import cached_gguf
from infertui.models.resolve import resolve
from infertui.targets.engine.base import Batch, Capacity, Loaded, LoadRequest, create, probe
from infertui.targets.engine.openvino.engine import OpenvinoEngine
from infertui.targets.engine.verify import check, check_loaded

pytest.importorskip("openvino_genai", reason="OpenVINO GenAI is not installed: pip install infertui[openvino]")
pytest.importorskip("gguf", reason="gguf is not installed: pip install infertui[openvino]")

PROMPTS = ((5, 17, 90, 3), (42,), tuple(range(3, 90)))
CAPACITY = Capacity(sequences=3, prompt_tokens=96, output_tokens=32)
LLAMA = {
    "model_type": "llama", "vocab_size": 320, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256, "rms_norm_eps": 1e-5,
    "hidden_act": "silu", "tie_word_embeddings": False, "initializer_range": 0.3,
}  # fmt: skip
GPT2 = {
    "model_type": "gpt2", "vocab_size": 320, "n_embd": 64, "n_layer": 2, "n_head": 2, "n_positions": 256,
    "initializer_range": 0.3,
}  # fmt: skip

Running = tuple[OpenvinoEngine, Loaded]


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    (folder / "llama.json").write_text(json.dumps(LLAMA))
    (folder / "gpt2.json").write_text(json.dumps(GPT2))
    return folder


@pytest.fixture(scope="module")
def llama(models: Path) -> str:
    return f"synthetic:{models / 'llama.json'}"


@pytest.fixture(scope="module")
def running(llama: str) -> Running:
    return load(llama)


def asked(dtype: str = "float32", quantization: str = "auto", **options: Any) -> EngineConfig:
    return EngineConfig(name="openvino", dtype=dtype, quantization=quantization, openvino=OpenvinoOptions(**options))  # type: ignore[arg-type]


def load(model: str, engine: EngineConfig | None = None, *, device: str = "cpu", seed: int = 0) -> Running:
    openvino = create("openvino", MonotonicClock())
    assert isinstance(openvino, OpenvinoEngine)
    request = LoadRequest(
        ModelConfig(id=model, seed=seed), engine or asked(), DeviceConfig(name=device, threads=1), CAPACITY
    )
    return openvino, openvino.load(request)


def generate(engine: OpenvinoEngine, *prompts: tuple[int, ...], output_len: int = 12, **how: Any) -> list[list[int]]:
    sink = Stamps()
    generated = engine.generate(Batch(prompts, output_len=output_len, **how), sink)
    outputs = generated.read()
    assert list(generated.counts) == [output_len] * len(prompts) == [len(ids) for ids in outputs]
    assert {index: sum(tokens for _, tokens in told) for index, told in sink.sequences.items()} == dict(
        enumerate(generated.counts)
    )
    assert all(tokens == 1 for told in sink.sequences.values() for _, tokens in told)
    return outputs


def test_it_reports_what_it_loaded(running: Running) -> None:
    _, loaded = running
    assert loaded.engine == "openvino"
    assert loaded.dtype == "float32"
    assert loaded.threads == 1
    assert loaded.random_weights
    assert loaded.weight_bytes == 4 * (loaded.parameters or 0)
    assert loaded.quantized_layers == 0
    assert loaded.versions == probe("openvino").versions
    assert all(Path(path).is_file() for path in loaded.paths.values())
    assert loaded.vocabulary == 320


def test_effective_is_what_the_compiled_model_says(running: Running) -> None:
    generate(running[0], PROMPTS[1], output_len=1)  # the cache is made in the first step
    effective = running[0].effective()
    assert effective.settings == {"dtype": "float32", "quantization": "none", "openvino.kv_cache": "f32"}
    assert effective.facts["execution_devices"] == "CPU"
    assert effective.facts["activations"] == "float32"
    # 3 sequences of 96 + 32 positions, keys and values of 2 layers, 2 heads of 16 numbers of 4 bytes.
    assert int(effective.facts["kv_bytes"]) == 3 * 128 * 2 * 2 * 2 * 16 * 4


def test_every_sequence_of_a_batch_generates_what_it_does_alone(running: Running) -> None:
    together = generate(running[0], *PROMPTS)
    assert together == [generate(running[0], prompt)[0] for prompt in PROMPTS]
    assert len({token for output in together for token in output}) > 10


def test_a_prompt_that_was_seen_is_computed_again(running: Running) -> None:
    first = generate(running[0], PROMPTS[2], output_len=32)
    assert generate(running[0], PROMPTS[2], output_len=32) == first
    assert running[0].effective().facts["prefix_caching"] == "off"


def test_one_token_is_a_batch(running: Running) -> None:
    assert [len(output) for output in generate(running[0], *PROMPTS, output_len=1)] == [1, 1, 1]


def test_a_batch_may_take_all_that_was_reserved(running: Running) -> None:
    longest = [tuple(range(first, first + CAPACITY.prompt_tokens)) for first in (3, 50, 120)]
    assert len(generate(running[0], *longest, output_len=CAPACITY.output_tokens)) == CAPACITY.sequences


def test_a_batch_that_is_too_large_is_an_error_and_no_number(running: Running) -> None:
    """The library would run it all the same, with sequences that wait for others."""
    with pytest.raises(EngineError, match="takes 21 blocks of the KV cache, and 12 are reserved"):
        running[0].generate(Batch((tuple(range(3, 140)),) * 3, output_len=64), Stamps())


def test_sampling_follows_its_seed(running: Running) -> None:
    def sampled(seed: int, **how: Any) -> list[list[int]]:
        return generate(running[0], PROMPTS[0], PROMPTS[0], output_len=24, temperature=8.0, seed=seed, **how)

    first = sampled(1)
    assert first == sampled(1)
    assert first != sampled(2)
    assert first[0] != first[1]
    greedy = generate(running[0], PROMPTS[0], output_len=24)[0]
    assert sampled(3, top_k=1) == [greedy, greedy]


class Stop(BaseException):
    pass


@pytest.mark.parametrize("after", [1, 5])
def test_a_batch_that_is_cancelled_leaves_it_usable(running: Running, after: int) -> None:
    engine = running[0]
    expected = generate(engine, *PROMPTS)
    left = after

    def stop() -> None:
        nonlocal left
        left -= 1
        if not left:
            raise Stop

    with pytest.raises(Stop):
        engine.generate(Batch(PROMPTS, output_len=32), Stamps(then=stop))
    assert generate(engine, *PROMPTS) == expected
    assert generate(engine, *PROMPTS, output_len=32)


def test_another_seed_is_another_model(llama: str, running: Running) -> None:
    assert generate(load(llama, seed=1)[0], PROMPTS[0]) != generate(running[0], PROMPTS[0])


def test_quantized_weights_are_told(llama: str) -> None:
    config = asked(quantization="q8_0")
    engine, loaded = load(llama, config)
    check_loaded(config, loaded)
    effective = engine.effective()
    check(config, SPEC, effective)
    assert effective.settings["quantization"] == "q8_0"
    assert effective.settings["openvino.dynamic_quantization"] == "true"
    assert effective.facts["activations"].startswith("8 bits")
    assert loaded.quantized_layers == 16  # 7 matrices in each of 2 layers, embedding, output
    assert (loaded.weight_bytes or 0) < 1.3 * (loaded.parameters or 0)
    assert generate(engine, *PROMPTS)


def test_options_are_in_force(llama: str) -> None:
    config = asked(quantization="q4_0", kv_cache="u8", dynamic_quantization=False)
    engine, _ = load(llama, config)
    effective = engine.effective()
    check(config, SPEC, effective)
    assert effective.settings["openvino.kv_cache"] == "u8"
    assert effective.settings["openvino.dynamic_quantization"] == "false"
    assert effective.facts["activations"] == "float32"
    assert generate(engine, *PROMPTS)


def test_a_prefix_cache_that_is_on_all_the_same_fails_the_load(llama: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import openvino_genai

    pipeline = openvino_genai.ContinuousBatchingPipeline

    def caching(path: str, schedule: Any, *arguments: Any) -> Any:
        schedule.enable_prefix_caching = True
        return pipeline(path, schedule, *arguments)

    monkeypatch.setattr(openvino_genai, "ContinuousBatchingPipeline", caching)
    with pytest.raises(EngineError, match="says enable_prefix_caching: true"):
        load(llama)


def test_another_kv_cache_than_the_default_promises_fails_the_load(llama: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import openvino_genai

    pipeline = openvino_genai.ContinuousBatchingPipeline

    def forgetting(path: str, schedule: Any, device: str, properties: dict[str, Any]) -> Any:
        return pipeline(path, schedule, device, {**properties, "KV_CACHE_PRECISION": "u8"})

    monkeypatch.setattr(openvino_genai, "ContinuousBatchingPipeline", forgetting)
    with pytest.raises(EngineError, match="kv_cache = f32 was asked of openvino, but u8 is in force"):
        load(llama)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_number_format_that_the_processor_lacks_is_not_claimed(llama: str, dtype: str) -> None:
    """OpenVINO takes another one without a word."""
    import openvino

    config = asked(dtype)
    engine, loaded = load(llama, config)
    can = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    assert engine.effective().settings["dtype"] == loaded.dtype
    if {"bfloat16": "BF16", "float16": "FP16"}[dtype] in can:
        check_loaded(config, loaded)
        assert loaded.weight_bytes
        assert loaded.weight_bytes < 2.1 * (loaded.parameters or 0)
    else:
        with pytest.raises(EngineError, match=f"engine.dtype = {dtype} was asked of openvino"):
            check_loaded(config, loaded)


def test_gpt2_runs_and_its_quantized_file_is_refused(models: Path) -> None:
    name = f"synthetic:{models / 'gpt2.json'}"
    assert generate(load(name)[0], *PROMPTS)
    with pytest.raises(ModelError, match="quantized GGUF files of llama, qwen2, qwen3, not of gpt2"):
        load(name, asked(quantization="q8_0"))


@pytest.fixture(scope="module")
def exported(llama: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as optimum-cli leaves it, whose generation config asks for sampling and ends at any token."""
    import openvino

    from infertui.targets.engine.openvino.graph import build

    folder = tmp_path_factory.mktemp("exported")
    openvino.save_model(build(cached_gguf(resolve(llama), "f32")), str(folder / "openvino_model.xml"), False)
    (folder / "config.json").write_text(json.dumps(LLAMA))
    settings = {"do_sample": True, "temperature": 5.0, "eos_token_id": list(range(320)), "repetition_penalty": 2.0}
    (folder / "generation_config.json").write_text(json.dumps(settings))
    tokenizers = pytest.importorskip("tokenizers", reason="tokenizers is not installed")
    tokenizers.Tokenizer(tokenizers.models.BPE({"a": 0, "b": 1}, [])).save(str(folder / "tokenizer.json"))
    return folder


def test_an_exported_folder_runs_and_its_generation_config_has_no_say(exported: Path, running: Running) -> None:
    engine, loaded = load(str(exported))
    assert not loaded.random_weights
    assert generate(engine, *PROMPTS) == generate(running[0], *PROMPTS)
    assert engine.encode("ab") == [0, 1]


def test_an_exported_folder_takes_no_quantization(exported: Path) -> None:
    with pytest.raises(ConfigError, match=r"engine\.quantization"):
        load(str(exported), asked(quantization="q8_0"))


@pytest.mark.parametrize("damage", ["cut", "nonsense"])
def test_a_broken_export_is_one_clear_error(exported: Path, tmp_path: Path, damage: str) -> None:
    shutil.copytree(exported, tmp_path / "broken")
    graph = tmp_path / "broken" / "openvino_model.xml"
    content = graph.read_bytes()
    graph.write_bytes(content[: len(content) // 2] if damage == "cut" else b"\x1b[2J" * 100)
    with pytest.raises(InfertuiError) as caught:
        load(str(tmp_path / "broken"))
    assert "\x1b" not in str(caught.value)
    assert "jenkins" not in str(caught.value)


def test_a_gpu_is_refused(llama: str) -> None:
    with pytest.raises(EngineError, match="runs on CPUs"):
        load(llama, device="cuda")


@pytest.mark.parametrize("form", ["f32", "q8_0"])
def test_a_gguf_file_of_random_weights_is_what_it_was_written_from(llama: str, running: Running, form: Any) -> None:
    path = cached_gguf(resolve(llama), form)
    engine, loaded = load(str(path))
    assert loaded.random_weights
    assert loaded.special_ids == running[1].special_ids
    assert engine.encode("é") == [195, 169]
    if form == "f32":
        assert generate(engine, *PROMPTS) == generate(running[0], *PROMPTS)
    else:
        assert engine.effective().settings["quantization"] == "q8_0"


@pytest.mark.parametrize("form", ["bf16", "q8_0"])
def test_a_gguf_file_of_a_checkpoint_keeps_its_tokenizer(tmp_path: Path, form: Any) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed")
    from support.checkpoints import save_llama

    save_llama(tmp_path / "saved")
    source = resolve(str(tmp_path / "saved"))
    engine, loaded = load(str(cached_gguf(source, form)))
    from_files, known = load(str(tmp_path / "saved"))
    for text in ("the quick brown fox", "lazy  dog", "Grüße"):
        assert engine.encode(text) == from_files.encode(text)
    assert loaded.special_ids == known.special_ids
    assert not loaded.random_weights


def test_a_gguf_file_is_not_quantized_again(llama: str) -> None:
    path = cached_gguf(resolve(llama), "q8_0")
    with pytest.raises(ConfigError, match="the file's weights are q8_0"):
        load(str(path), asked(quantization="q4_0"))
