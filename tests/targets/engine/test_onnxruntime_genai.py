"""The ONNX Runtime GenAI engine on a CPU, with the real library: what it generates, and that it says what is in force.

The model builder, and what tells of families that are not known by themselves, work in this process; test_parity.py
runs the builder as a run does.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.onnx_models import Running, asked, build_here, generate, load, request
from support.sinks import Stamps

from infertui.config.engines.onnxruntime_genai import SPEC
from infertui.errors import EngineError
from infertui.models.hub import asking
from infertui.models.resolve import resolve
from infertui.targets.engine.base import Batch, Scoring
from infertui.targets.engine.onnxruntime_genai.asked import recipe
from infertui.targets.engine.onnxruntime_genai.conversion import converted
from infertui.targets.engine.onnxruntime_genai.graph import contents
from infertui.targets.engine.onnxruntime_genai.installed import probe
from infertui.targets.engine.transformers.describe import describe
from infertui.targets.engine.verify import check, check_device, check_loaded

WHY = "ONNX Runtime GenAI is not installed: pip install infertui[onnx]"
pytest.importorskip("onnxruntime_genai", reason=WHY)
pytest.importorskip("onnx_ir", reason=WHY)
torch = pytest.importorskip("torch", reason="torch is not installed: it makes the models")
transformers = pytest.importorskip("transformers", reason="transformers is not installed: it makes the models")

PROMPTS = ((5, 17, 90, 3), (42,), tuple(range(3, 90)))
SHAPE = {
    "vocab_size": 320, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 256, "initializer_range": 0.3,
}  # fmt: skip
LLAMA = {"model_type": "llama", "rms_norm_eps": 1e-5, "hidden_act": "silu", "tie_word_embeddings": False, **SHAPE}


@pytest.fixture(scope="module", autouse=True)
def surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        build_here(patch)
        patch.setattr(asking, "ask", lambda content, **_: describe(msgspec.json.decode(content)))
        yield


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


def named(models: Path, name: str, **config: Any) -> str:
    """A synthetic model of that config."""
    path = models / f"{name}.json"
    path.write_text(json.dumps(config))
    return f"synthetic:{path}"


@pytest.fixture(scope="module")
def llama(models: Path) -> str:
    return named(models, "llama", **LLAMA)


@pytest.fixture(scope="module")
def running(llama: str) -> Running:
    return load(llama)


@pytest.fixture(scope="module")
def int4(llama: str) -> Running:
    return load(llama, asked(quantization="int4"))


def reference(model: str, seed: int = 0) -> Any:
    """The model as the engine transformers makes it."""
    config = transformers.AutoConfig.from_pretrained(model.removeprefix("synthetic:"))
    torch.manual_seed(seed)
    return transformers.AutoModelForCausalLM.from_config(
        config, dtype=torch.float32, attn_implementation="eager"
    ).eval()


def greedy(model: Any, prompt: tuple[int, ...], output_len: int = 12) -> list[int]:
    """By a forward of all tokens for each one, nothing cached and nothing padded."""
    ids = list(prompt)
    with torch.no_grad():
        for _ in range(output_len):
            ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
    return ids[len(prompt) :]


FAMILIES: dict[str, dict[str, Any]] = {
    "llama": LLAMA,
    "llama, tied": {**LLAMA, "tie_word_embeddings": True},
    "llama, biases": {**LLAMA, "attention_bias": True, "mlp_bias": True},
    "llama, heads wider than their share": {**LLAMA, "head_dim": 32},
    "llama, no groups": {**LLAMA, "num_key_value_heads": 4},
    "llama 3's positions": {
        **LLAMA,
        "rope_scaling": {
            "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
        },
    },
    "mistral": {"model_type": "mistral", **SHAPE, "sliding_window": None},
    "qwen2": {"model_type": "qwen2", **SHAPE},
    "qwen2, tied": {"model_type": "qwen2", **SHAPE, "tie_word_embeddings": True},
    "qwen2, a window": {
        "model_type": "qwen2", **SHAPE, "use_sliding_window": True, "sliding_window": 16, "max_window_layers": 1,
    },
    "qwen3": {"model_type": "qwen3", **SHAPE, "head_dim": 32},
    "gemma": {"model_type": "gemma", **SHAPE, "head_dim": 32},
    "gemma2, a window": {
        "model_type": "gemma2", **SHAPE, "head_dim": 32, "sliding_window": 16, "query_pre_attn_scalar": 32,
    },
    "phi": {"model_type": "phi", **SHAPE, "hidden_size": 256, "num_key_value_heads": 4},
    "phi3": {"model_type": "phi3", **SHAPE, "pad_token_id": 0, "original_max_position_embeddings": 256},
    "granite": {"model_type": "granite", **SHAPE},
    "smollm3": {"model_type": "smollm3", **SHAPE, "pad_token_id": 0},
    "ernie4_5": {"model_type": "ernie4_5", **SHAPE, "head_dim": 16},
    "hunyuan_v1_dense": {"model_type": "hunyuan_v1_dense", **SHAPE, "head_dim": 16},
    "nemotron": {"model_type": "nemotron", **SHAPE, "hidden_size": 256},
    "gpt_oss, experts and a window": {
        "model_type": "gpt_oss", **SHAPE, "head_dim": 16, "num_local_experts": 4, "num_experts_per_tok": 2,
        "sliding_window": 16,
    },
}  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_has_the_logits_and_the_tokens_of_transformers(models: Path, family: str) -> None:
    model = named(models, "family", **FAMILIES[family])
    expected = reference(model)
    engine, loaded = load(model)
    outputs = generate(engine, PROMPTS)
    assert outputs == [greedy(expected, prompt) for prompt in PROMPTS]
    generator, _ = engine._generator(Batch((PROMPTS[2],), 1), len(PROMPTS[2]))
    generator.append_tokens([list(PROMPTS[2])])
    with torch.no_grad():
        wanted = expected(torch.tensor([PROMPTS[2]])).logits[0]
    apart = (torch.tensor(generator.get_output("logits")[0]) - wanted).abs().max()
    assert apart < 5e-3 * wanted.std()  # the builder takes other constants for some: GELU's form, norms' epsilon
    assert loaded.parameters
    assert loaded.quantized_layers == 0


def test_it_reports_what_it_loaded(running: Running) -> None:
    engine, loaded = running
    assert (loaded.engine, loaded.dtype, loaded.device, loaded.threads) == ("onnxruntime-genai", "float32", "cpu", 1)
    assert loaded.attention == "GroupQueryAttention"
    assert loaded.random_weights
    assert loaded.weight_bytes == 4 * (loaded.parameters or 0)
    assert loaded.lookup_bytes == 4 * 320 * 64  # the table of embeddings
    assert loaded.kv_token_bytes == 2 * 2 * 2 * 16 * 4  # keys and values of 2 layers, 2 heads of 16 numbers
    assert loaded.versions == probe().versions
    assert all(Path(path).is_file() for path in loaded.paths.values())
    assert engine.encode("é") == [195, 169]


def test_effective_is_what_the_library_says(running: Running) -> None:
    effective = running[0].effective()
    assert effective.settings == {
        "dtype": "float32", "quantization": "none", "mode": "eager", "onnxruntime_genai.execution_provider": "cpu",
        "onnxruntime_genai.prompt_logits": "all",
    }  # fmt: skip
    assert effective.facts["device_type"] == "CPU"
    assert effective.facts["kv_cache_in_place"] == "true"
    assert effective.facts["nodes"].endswith(" on cpu")
    assert "GroupQueryAttention" in effective.facts["operators"]


@pytest.mark.parametrize("threads", [1, 3])
def test_it_computes_with_as_many_threads_as_it_was_told(llama: str, threads: int) -> None:
    """By the library's own account of its pool."""
    assert load(llama, threads=threads)[1].threads == threads


def test_every_sequence_of_a_batch_generates_what_it_does_alone(running: Running) -> None:
    together = generate(running[0], PROMPTS)
    assert together == [generate(running[0], [prompt])[0] for prompt in PROMPTS]
    assert len({token for output in together for token in output}) > 10


def test_no_token_at_the_end_of_a_prompt_is_taken_for_filling(models: Path) -> None:
    """Those that a config names for filling, and for an end, too: they are tokens as any other."""
    model = named(models, "marked", **LLAMA, eos_token_id=[3, 5], pad_token_id=3, bos_token_id=90)
    engine, _ = load(model)
    prompts = ((5, 17, 90, 3), (42, 3), (3,))
    assert generate(engine, prompts) == [greedy(reference(model), prompt) for prompt in prompts]


def test_tokens_that_would_end_a_text_are_generated_as_any_other(models: Path, running: Running) -> None:
    ends = sorted({token for output in generate(running[0], PROMPTS) for token in output})
    engine, _ = load(named(models, "ends", **LLAMA, eos_token_id=ends))
    assert generate(engine, PROMPTS) == generate(running[0], PROMPTS)


def test_one_token_and_all_positions_are_batches(running: Running) -> None:
    assert [len(output) for output in generate(running[0], PROMPTS, output_len=1)] == [1, 1, 1]
    assert len(generate(running[0], [PROMPTS[0]], output_len=252)[0]) == 252


def test_the_largest_batch_is_taken(running: Running) -> None:
    assert len(set(map(tuple, generate(running[0], [PROMPTS[0]] * 32, output_len=4)))) == 1


def test_sampling_follows_its_seed(running: Running) -> None:
    def sampled(seed: int, **how: Any) -> list[list[int]]:
        return generate(running[0], [PROMPTS[0]] * 2, output_len=24, temperature=8.0, seed=seed, **how)

    first = sampled(1)
    assert first == sampled(1)
    assert first != sampled(2)
    assert first[0] != first[1]
    greedy_one = generate(running[0], [PROMPTS[0]], output_len=24)[0]
    assert sampled(3, top_k=1) == [greedy_one, greedy_one]
    assert len({token for output in sampled(4, top_k=3) for token in output}) > 1
    assert sampled(5, top_p=1e-6) == [greedy_one, greedy_one]


class Stop(BaseException):
    pass


@pytest.mark.parametrize("after", [1, 5])
def test_a_batch_that_is_cancelled_leaves_it_usable(running: Running, after: int) -> None:
    engine = running[0]
    expected = generate(engine, PROMPTS)
    left = after

    def stop() -> None:
        nonlocal left
        left -= 1
        if not left:
            raise Stop

    with pytest.raises(Stop):
        engine.generate(Batch(PROMPTS, output_len=32), Stamps(then=stop))
    assert generate(engine, PROMPTS) == expected


def test_another_seed_is_another_model_and_that_of_transformers(llama: str, running: Running) -> None:
    outputs = generate(load(llama, seed=1)[0], [PROMPTS[0]])
    assert outputs != generate(running[0], [PROMPTS[0]])
    assert outputs == [greedy(reference(llama, seed=1), PROMPTS[0])]


def test_quantized_weights_are_told(int4: Running) -> None:
    engine, loaded = int4
    config = asked(quantization="int4")
    check_loaded(config, loaded)
    check(config, SPEC, engine.effective())
    settings = engine.effective().settings
    assert (settings["quantization"], settings["onnxruntime_genai.activations"]) == ("int4", "int8")
    assert loaded.dtype == "float32"
    assert loaded.quantized_layers == 11  # q, k and v in one, o, gate, up, down of 2 layers; the output layer
    assert engine.effective().facts["quantized_in_groups_of"] == "32"
    assert (loaded.weight_bytes or 0) < 2 * (loaded.parameters or 0)
    assert generate(engine, PROMPTS)


def test_options_are_in_force(llama: str, int4: Running) -> None:
    config = asked(quantization="int8", activations="float", prompt_logits="last", execution_provider="cpu")
    engine, loaded = load(llama, config)
    check_loaded(config, loaded)
    check(config, SPEC, engine.effective())
    with pytest.raises(EngineError, match="activations = float was asked of onnxruntime-genai, but int8 is in force"):
        check(asked(quantization="int4", activations="float"), SPEC, int4[0].effective())
    prompts = [(5, 17, 90, 3), (42, 1, 2, 3)]
    assert generate(engine, prompts) == [generate(engine, [prompt])[0] for prompt in prompts]


def test_logits_of_the_last_token_alone_are_those(llama: str, running: Running) -> None:
    engine, _ = load(llama, asked(prompt_logits="last"))
    assert generate(engine, [PROMPTS[2]]) == generate(running[0], [PROMPTS[2]])
    with pytest.raises(EngineError, match="prompts of one length"):
        generate(engine, PROMPTS)
    assert isinstance(engine, Scoring)
    with pytest.raises(EngineError, match="prompt_logits = last"):
        engine.scoring()


def test_threads_and_device_are_held_against_what_was_asked(running: Running) -> None:
    from infertui.config.schema import DeviceConfig

    check_device(DeviceConfig(name="cpu", threads=1), running[1])
    with pytest.raises(EngineError, match=r"device\.threads = 4"):
        check_device(DeviceConfig(name="cpu", threads=4), running[1])


def test_another_provider_than_was_to_compute_fails_the_load(llama: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from infertui.targets.engine.onnxruntime_genai import look

    monkeypatch.setattr(look, "_WORDS", {"CPUExecutionProvider": "xnnpack"})
    with pytest.raises(EngineError, match="cpu was to compute, but by the profile of ONNX Runtime xnnpack does"):
        load(llama)


def test_an_option_that_the_builder_drops_fails_the_run(llama: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from infertui.targets.engine.onnxruntime_genai import building

    def forgetful(order: Any, staged: Path, target: Path) -> None:
        made(
            type(order)(**{name: getattr(order, name) for name in order.__struct_fields__} | {"options": {}}),
            staged,
            target,
        )

    made = building._build
    monkeypatch.setattr(building, "_build", forgetful)
    config = asked(prompt_logits="last", execution_provider="cpu")
    engine, _ = load(llama, config, seed=7)
    with pytest.raises(EngineError, match="prompt_logits = last was asked of onnxruntime-genai, but all is in force"):
        check(config, SPEC, engine.effective())


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"dtype": "float16"}, ("float16", "none", "")),
        ({"dtype": "bfloat16"}, ("bfloat16", "none", "")),  # its logits are float32
        ({"dtype": "bfloat16", "quantization": "int4"}, ("bfloat16", "int4", "float")),
        ({"quantization": "int8"}, ("float16", "int8", "float")),
    ],
)
def test_models_for_gpus_are_made_anywhere_and_say_what_they_hold(
    llama: str, settings: dict[str, Any], told: tuple[str, str, str]
) -> None:
    source = resolve(llama)
    made = recipe(request(llama, asked(**settings), device="cuda"), source)
    found = contents(converted(source, made), source.shape.head_dim)
    assert (found.dtype, found.quantization, found.activations) == told
    assert found.kv_token_bytes == 2 * 2 * 2 * 16 * 2
