"""llama.cpp on a CPU, with real files: what it generates, and that it says what it did."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.checkpoints import Reference, greedy, save_gpt2, save_llama, save_mistral
from support.sinks import Stamps

from infertui.config.engines.llama_cpp import LlamaCppOptions
from infertui.config.engines.registry import SPECS
from infertui.config.schema import DeviceConfig, EngineConfig, ModelConfig
from infertui.errors import ConfigError, EngineError, ModelError
from infertui.measure.clock import MonotonicClock
from infertui.models.gguf.write import cached_gguf
from infertui.models.resolve import resolve
from infertui.targets.engine.base import Batch, Capacity, Loaded, LoadRequest, create, probe
from infertui.targets.engine.llama_cpp.asked import check_experts
from infertui.targets.engine.llama_cpp.engine import LlamaCppEngine
from infertui.targets.engine.verify import check, check_loaded

pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed: pip install infertui[llama-cpp]")
gguf = pytest.importorskip("gguf", reason="gguf is not installed: pip install gguf")

NANO = "synthetic:nano"
CAPACITY = Capacity(sequences=3, prompt_tokens=40, output_tokens=40)
PROMPTS = ((5, 17, 90, 3), (42,), tuple(range(60, 90)))


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


def load(
    model: str,
    capacity: Capacity = CAPACITY,
    *,
    device: str = "cpu",
    seed: int = 0,
    options: LlamaCppOptions = LlamaCppOptions(),  # noqa: B008 (immutable)
    **engine: Any,
) -> tuple[LlamaCppEngine, Loaded, EngineConfig]:
    made = create("llama-cpp", MonotonicClock())
    assert isinstance(made, LlamaCppEngine)
    config = EngineConfig(name="llama-cpp", llama_cpp=options, **engine)
    request = LoadRequest(ModelConfig(id=model, seed=seed), config, DeviceConfig(name=device, threads=1), capacity)
    return made, made.load(request), config


def generate(engine: LlamaCppEngine, *prompts: tuple[int, ...], tokens: int = 12, **batch: Any) -> list[list[int]]:
    sink = Stamps()
    generated = engine.generate(Batch(prompts, tokens, **batch), sink)
    assert list(generated.counts) == [tokens] * len(prompts)
    assert sink.tokens == [1] * tokens
    return generated.read()


@pytest.fixture(scope="module")
def nano() -> tuple[LlamaCppEngine, Loaded, EngineConfig]:
    return load(NANO)


@pytest.fixture(scope="module")
def torch_threads() -> Iterator[None]:
    torch = pytest.importorskip("torch", reason="torch is not installed: nothing to compare with")
    pytest.importorskip("transformers", reason="transformers is not installed: nothing to compare with")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


MAKERS: dict[str, Callable[[Path], Any]] = {
    "llama": save_llama,
    "llama, tied, wide heads, biased, scaled": lambda folder: save_llama(
        folder, tie_word_embeddings=True, head_dim=64, attention_bias=True, mlp_bias=True,
        rope_scaling={
            "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 16,
        },
    ),
    "mistral": save_mistral,
    "gpt2": save_gpt2,
}  # fmt: skip


@pytest.fixture(scope="module", params=MAKERS)
def checkpoint(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, torch_threads: None
) -> tuple[Path, list[Reference]]:
    """A checkpoint, and what Transformers generates from it for each prompt."""
    folder = tmp_path_factory.mktemp("checkpoint")
    model = MAKERS[request.param](folder)
    return folder, [greedy(model, prompt, 24) for prompt in PROMPTS]


@pytest.mark.parametrize("flash", [True, False])
def test_the_same_tokens_as_transformers(checkpoint: tuple[Path, list[Reference]], flash: bool) -> None:
    folder, expected = checkpoint
    options = LlamaCppOptions(flash_attention=flash, type_k="f32", type_v="f32")
    engine, loaded, _ = load(str(folder), dtype="float32", options=options)
    assert (loaded.dtype, loaded.random_weights) == ("float32", False)
    assert generate(engine, *PROMPTS, tokens=24) == [reference.ids for reference in expected]
    for prompt, reference in zip(PROMPTS, expected, strict=True):
        assert generate(engine, prompt, tokens=24) == [reference.ids]


def test_the_same_tokens_in_8_bits(checkpoint: tuple[Path, list[Reference]]) -> None:
    folder, expected = checkpoint
    engine, loaded, config = load(str(folder), quantization="q8_0")
    parted = [
        reference.parts_from(ids)
        for reference, ids in zip(expected, generate(engine, *PROMPTS, tokens=24), strict=True)
    ]
    # Rounding to 8 bits may decide what was nearly a tie, and then all that follows differs.
    assert all(margin is None or margin < 0.1 for margin in parted), parted
    assert loaded.quantized_layers
    check(config, SPECS["llama-cpp"], engine.effective())


def test_a_prompt_is_handed_over_in_pieces(checkpoint: tuple[Path, list[Reference]]) -> None:
    folder, expected = checkpoint
    options = LlamaCppOptions(n_batch=7, n_ubatch=3, type_k="f32", type_v="f32")
    engine, _, config = load(str(folder), dtype="float32", options=options)
    assert generate(engine, *PROMPTS, tokens=24) == [reference.ids for reference in expected]
    check(config, SPECS["llama-cpp"], engine.effective())


def test_the_same_ids_as_transformers_for_text(checkpoint: tuple[Path, list[Reference]]) -> None:
    from transformers import AutoTokenizer

    folder, _ = checkpoint
    reference = AutoTokenizer.from_pretrained(folder)
    engine, loaded, _ = load(str(folder))
    written = str(cached_gguf(resolve(str(folder)), "f32"))
    from_file, of_file, _ = load(written)
    for text in ("the quick fox", "  Ünïcode 🦊 \n\n tabs\t", "a<|end|>b", "12345 don't"):
        ids = reference.encode(text)
        assert engine.encode(text) == ids
        assert from_file.encode(text) == ids
    assert loaded.special_ids == of_file.special_ids == tuple(reference.all_special_ids)


def test_batches_do_not_help_each_other(nano: tuple[LlamaCppEngine, Loaded, EngineConfig]) -> None:
    engine, _, _ = nano
    first = generate(engine, *PROMPTS)
    before = engine.effective().counters
    assert generate(engine, *PROMPTS) == first
    after = engine.effective().counters
    prompt_tokens = sum(map(len, PROMPTS))
    # All prompt tokens again, and eleven steps of three sequences, which llama.cpp counts as prompts, too.
    assert after["llama_n_p_eval"] - before["llama_n_p_eval"] == prompt_tokens + 11 * len(PROMPTS)


def test_counters_are_llama_cpps_own(nano: tuple[LlamaCppEngine, Loaded, EngineConfig]) -> None:
    engine, _, _ = nano
    before = engine.effective().counters
    generate(engine, PROMPTS[0], tokens=20)
    grown = {name: count - before[name] for name, count in engine.effective().counters.items()}
    assert (grown["llama_n_eval"], grown["llama_n_p_eval"]) == (19, len(PROMPTS[0]))
    assert grown["llama_t_eval_us"] > 0
    assert grown["llama_t_p_eval_us"] > 0


def test_greedy_takes_the_first_of_equals(torch_threads: None, tmp_path: Path) -> None:
    import torch

    model = save_llama(tmp_path, tie_word_embeddings=False)
    with torch.no_grad():
        model.lm_head.weight.copy_(model.lm_head.weight[:1].expand_as(model.lm_head.weight))
    model.save_pretrained(tmp_path)
    engine, _, _ = load(str(tmp_path), dtype="float32")
    assert generate(engine, *PROMPTS, tokens=3) == [[0, 0, 0]] * 3


def test_sampling_is_seeded_and_differs_by_sequence(nano: tuple[LlamaCppEngine, Loaded, EngineConfig]) -> None:
    engine, _, _ = nano
    prompt = PROMPTS[0]
    one = generate(engine, prompt, prompt, temperature=5.0, top_k=50, top_p=0.95, seed=3)
    assert generate(engine, prompt, prompt, temperature=5.0, top_k=50, top_p=0.95, seed=3) == one
    assert generate(engine, prompt, prompt, temperature=5.0, top_k=50, top_p=0.95, seed=4) != one
    assert one[0] != one[1]
    assert generate(engine, prompt, temperature=5.0, top_k=1) == generate(engine, prompt)


def test_stopping_at_a_step_leaves_the_engine_usable(nano: tuple[LlamaCppEngine, Loaded, EngineConfig]) -> None:
    class Stopped(BaseException):
        pass

    def stop() -> None:
        if len(sink.steps) == 3:
            raise Stopped

    engine, _, _ = nano
    expected = generate(engine, *PROMPTS)
    for temperature in (0.0, 1.0):
        sink = Stamps(then=stop)
        with pytest.raises(Stopped):
            engine.generate(Batch(PROMPTS, 12, temperature=temperature), sink)
    assert generate(engine, *PROMPTS) == expected


def test_loaded_and_effective_tell_what_is_there(nano: tuple[LlamaCppEngine, Loaded, EngineConfig]) -> None:
    engine, loaded, config = nano
    source = resolve(NANO)
    assert loaded.parameters == source.parameters
    assert loaded.weight_bytes == 4 * source.parameters
    assert (loaded.device, loaded.offloaded_layers, loaded.threads) == ("cpu", "0 of 5", 1)
    assert loaded.random_weights
    assert Path(loaded.paths["llama-cpp-python"]).is_file()
    assert Path(loaded.paths["llama.cpp"]).is_file()
    assert loaded.attention == "flash_attention"
    check_loaded(config, loaded)
    found = engine.effective()
    check(config, SPECS["llama-cpp"], found)
    assert found.settings["quantization"] == "none"
    assert found.facts["n_ctx"] == "768"
    engine.synchronize()
    engine.release_memory()
    assert engine.memory().reserved_peak is None


@pytest.mark.parametrize("form", ["q8_0", "q4_0"])
def test_a_synthetic_model_in_a_quantized_format(form: str) -> None:
    engine, loaded, config = load(NANO, quantization=form)
    check_loaded(config, loaded)
    check(config, SPECS["llama-cpp"], engine.effective())
    assert loaded.dtype == "float32"
    assert loaded.quantized_layers == 4 * 7 + 1
    assert loaded.weight_bytes is not None
    assert loaded.weight_bytes < resolve(NANO).parameters * 1.2
    assert len(set(map(tuple, generate(engine, *PROMPTS)))) == 3


def test_synthetic_weights_follow_the_seed() -> None:
    outputs = [generate(load(NANO, seed=seed)[0], PROMPTS[2]) for seed in (0, 1, 0)]
    assert outputs[0] == outputs[2] != outputs[1]


def test_a_dtype_is_the_files() -> None:
    engine, loaded, config = load(NANO, dtype="bfloat16")
    check_loaded(config, loaded)
    assert loaded.dtype == "bfloat16"
    assert loaded.quantized_layers == 0
    assert engine.effective().settings["dtype"] == "bfloat16"


def test_options_are_in_force() -> None:
    options = LlamaCppOptions(n_ctx=1000, n_batch=64, n_ubatch=32, flash_attention=True, type_k="q8_0", type_v="q4_0")
    engine, loaded, config = load(NANO, options=options)
    found = engine.effective()
    check(config, SPECS["llama-cpp"], found)
    assert (found.facts["n_ctx"], found.facts["n_batch"], found.facts["n_ubatch"]) == ("1536", "64", "32")
    assert (found.settings["llama_cpp.type_k"], found.settings["llama_cpp.type_v"]) == ("q8_0", "q4_0")
    assert found.settings["llama_cpp.n_ctx"] == "1000", "rounded up, which facts tell"
    assert "3 x 512" in loaded.memory_policy
    engine, loaded, config = load(NANO, options=LlamaCppOptions(flash_attention=False))
    check(config, SPECS["llama-cpp"], engine.effective())
    assert loaded.attention == "soft_max"


def test_layers_asked_for_on_a_gpu_that_is_not_used_fail_the_check() -> None:
    engine, _, config = load(NANO, options=LlamaCppOptions(n_gpu_layers=3))
    with pytest.raises(EngineError, match=r"n_gpu_layers = 3 .* 0 is in force: the model runs on the CPU"):
        check(config, SPECS["llama-cpp"], engine.effective())


def _built_for_gpus() -> bool:
    import llama_cpp

    return bool(llama_cpp.llama_supports_gpu_offload())


@pytest.mark.parametrize(
    ("device", "layers", "named"), [("cuda", -1, "device.name is cuda"), ("auto", 3, "n_gpu_layers is 3")]
)
def test_a_build_without_gpus_does_not_run_silently_on_the_cpu(device: str, layers: int, named: str) -> None:
    if _built_for_gpus():
        pytest.skip("this build of llama-cpp-python has a GPU backend")
    with pytest.raises(EngineError, match=f"{named}.*runs on the CPU only") as caught:
        load(NANO, device=device, options=LlamaCppOptions(n_gpu_layers=layers))
    assert "GGML_CUDA" in caught.value.remedy


def test_auto_without_a_gpu_is_the_cpu() -> None:
    if _built_for_gpus():
        pytest.skip("this build of llama-cpp-python has a GPU backend")
    assert load(NANO, device="auto")[1].device == "cpu"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_ctx": 200}, r"n_ctx: 200 positions .*at least 240"),
        ({"n_batch": 2}, r"n_batch: 2 tokens .*at least 3"),
        ({"type_v": "q8_0", "flash_attention": False}, "type_v: q8_0 values need flash attention"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(NANO, options=LlamaCppOptions(**options))


def test_more_sequences_than_llama_cpp_takes_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"workload.batch_size: .* 257 sequences"):
        load(NANO, Capacity(257, 4, 4))


def test_a_batch_beyond_the_cache_is_refused(nano: tuple[LlamaCppEngine, Loaded, EngineConfig]) -> None:
    engine, _, _ = nano
    with pytest.raises(EngineError, match="do not fit into the KV cache"):
        engine.generate(Batch(((1,),) * 4, 2), Stamps())
    with pytest.raises(EngineError, match="do not fit into the KV cache"):
        engine.generate(Batch(((1,) * 250,), 10), Stamps())
    assert generate(engine, (1,) * 250, tokens=6)


def test_a_dtype_beside_a_quantized_format_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"engine.dtype: float16 beside engine.quantization = q8_0"):
        load(NANO, quantization="q8_0", dtype="float16")


def test_a_file_holds_what_it_holds() -> None:
    path = str(cached_gguf(resolve(NANO), "q8_0"))
    engine, loaded, _ = load(path)
    assert loaded.random_weights
    assert engine.effective().settings["quantization"] == "q8_0"
    load(path, quantization="q8_0")
    with pytest.raises(ConfigError, match=r"engine.quantization: q4_0 was asked for, but the file holds q8_0"):
        load(path, quantization="q4_0")
    with pytest.raises(ConfigError, match=r"engine.dtype: float16 was asked for"):
        load(path, dtype="float16")


@pytest.mark.parametrize("asked", [{}, {"dtype": "float16"}, {"quantization": "q4_0"}])
def test_a_file_without_weights_is_refused_as_that(asked: dict[str, Any], tmp_path: Path) -> None:
    """As llama.cpp's own vocabulary files are: everything but tensors."""
    writer = gguf.GGUFWriter(tmp_path / "vocab.gguf", "llama")
    for add, value in (
        (writer.add_block_count, 2), (writer.add_embedding_length, 64), (writer.add_head_count, 4),
        (writer.add_context_length, 128), (writer.add_feed_forward_length, 128), (writer.add_vocab_size, 256),
    ):  # fmt: skip
        add(value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    with pytest.raises(ModelError, match=r"vocab.gguf holds no weights"):
        load(str(tmp_path / "vocab.gguf"), **asked)


def test_a_file_that_llama_cpp_refuses_says_why(tmp_path: Path) -> None:
    whole = cached_gguf(resolve(NANO), "f32").read_bytes()
    path = tmp_path / "strange.gguf"
    # Every key of the architecture stays readable, but it is one that llama.cpp does not know.
    path.write_bytes(whole.replace(b"llama", b"1lama"))
    with pytest.raises(ModelError, match=r"llama.cpp cannot load .*unknown model architecture"):
        load(str(path))


def test_what_llama_cpp_logs_goes_to_standard_error(nano: object, capfd: pytest.CaptureFixture[str]) -> None:
    load(NANO)
    printed = capfd.readouterr()
    assert printed.out == ""
    assert "llama_context: n_ctx" in printed.err
    assert "\x1b" not in printed.err


def test_probing_imports_nothing() -> None:
    code = (
        "import sys; from infertui.targets.engine.base import probe; found = probe('llama-cpp'); "
        "print(found.available, sorted({'llama_cpp', 'gguf', 'numpy', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, "PATH": ""}
    )
    assert done.stdout.strip() == "True []"
    found = probe("llama-cpp")
    assert "llama-cpp-python" in found.versions
    assert ("built for the CPU only" in found.reason) is not _built_for_gpus()


def test_experts_in_host_memory_say_the_same_and_are_found_in_force(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(
        '{"model_type": "mixtral", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3, '
        '"num_attention_heads": 4, "num_key_value_heads": 2, "num_local_experts": 4, "num_experts_per_tok": 2, '
        '"vocab_size": 320, "max_position_embeddings": 512, "hidden_act": "silu", "tie_word_embeddings": false}'
    )
    model = f"synthetic:{tmp_path}"
    plain, _, _ = load(model)
    engine, _, config = load(model, options=LlamaCppOptions(n_cpu_moe=2))
    assert generate(engine, *PROMPTS) == generate(plain, *PROMPTS)
    effective = engine.effective()
    assert effective.settings["llama_cpp.n_cpu_moe"] == "2"
    assert plain.effective().settings["llama_cpp.n_cpu_moe"] == "0"
    check(config, SPECS["llama-cpp"], effective)
    for layers, model_id, said in ((4, model, "0 to 3"), (1, NANO, "no mixture of experts")):
        with pytest.raises(ConfigError, match=said):
            check_experts(layers, resolve(model_id))
