import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infertui import paths
from infertui.errors import ModelError
from infertui.models.memory.kv_cache import CacheLayers
from infertui.models.shapes import ModelShape, dtype_bytes, kv_bytes_per_token, read_shape, weight_bytes

SYNTHETIC = {
    "nano": 4_000_000,
    "gpt2-124m": 124_439_808,
    "tinyllama-1.1b": 1_100_048_384,
    "llama-8b": 8_030_261_248,
}
SMALL = {
    "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 96, "vocab_size": 320, "max_position_embeddings": 128,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
EXPERTS = {"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
FAMILIES: list[tuple[str, dict[str, Any]]] = [
    ("llama", {}),
    ("llama", {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True, "head_dim": 8}),
    ("mistral", {}),
    ("mistral", {"sliding_window": None, "head_dim": 32}),
    ("mixtral", {"num_local_experts": 4, "num_experts_per_tok": 2}),
    ("qwen2", {"tie_word_embeddings": True}),
    ("qwen2", {"use_sliding_window": True, "sliding_window": 32, "max_window_layers": 1}),
    ("qwen2_moe", {**EXPERTS, "shared_expert_intermediate_size": 48}),
    ("qwen3", {"head_dim": 32}),
    ("qwen3_moe", {**EXPERTS, "head_dim": 16}),
    ("qwen3_moe", {**EXPERTS, "head_dim": 16, "mlp_only_layers": [1]}),
    ("qwen3_moe", {**EXPERTS, "head_dim": 16, "decoder_sparse_step": 2}),
    ("gemma", {"head_dim": 32}),
    ("gemma2", {"head_dim": 32}),
    ("gemma3_text", {"head_dim": 32}),
    ("phi3", {}),
    ("granite", {}),
    ("smollm3", {}),
    ("gpt_neox", {}),
    ("gpt_neox", {"attention_bias": False, "tie_word_embeddings": True}),
    ("gpt2", {"intermediate_size": None, "n_inner": 100}),
]


def shipped(name: str) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((paths.data() / "models" / name / "config.json").read_text())
    return config


def parameters_of(config: dict[str, Any]) -> tuple[int, Any]:
    """What Transformers itself builds, without memory for it."""
    torch = pytest.importorskip("torch", reason="compares with the models that torch builds")
    transformers = pytest.importorskip("transformers", reason="compares with the models that Transformers builds")
    options = {key: value for key, value in config.items() if key != "model_type"}
    built = transformers.AutoConfig.for_model(config["model_type"], **options)
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(built)
    return sum(tensor.numel() for tensor in model.parameters()), built


@pytest.mark.parametrize("name", SYNTHETIC)
def test_the_shipped_shapes_are_exact(name: str) -> None:
    shape = read_shape(shipped(name))
    assert shape.exact
    assert shape.parameters == shape.active_parameters == SYNTHETIC[name] == parameters_of(shipped(name))[0]
    for key in ("pad_token_id", "bos_token_id", "eos_token_id"):
        assert 0 <= shipped(name)[key] < shape.vocab


def test_the_shape_of_llama_8b() -> None:
    assert read_shape(shipped("llama-8b")) == ModelShape(
        architecture="llama", layers=32, hidden=4096, heads=32, kv_heads=8, head_dim=128, intermediate=14336,
        vocab=128256, max_positions=131072, tied_embeddings=False, parameters=8_030_261_248,
        active_parameters=8_030_261_248, exact=True, dtype="bfloat16", matrix_parameters=6_979_321_856,
        cache=(CacheLayers(32, keys=8 * 128, values=8 * 128),),
    )  # fmt: skip


@pytest.mark.parametrize(("model_type", "changes"), FAMILIES)
def test_parameters_are_those_that_transformers_counts(model_type: str, changes: dict[str, Any]) -> None:
    config = {**SMALL, **changes, "model_type": model_type}
    expected, built = parameters_of(config)
    full = json.loads(built.to_json_string(use_diff=False))
    for shape in (read_shape(config), read_shape(full)):
        assert shape.exact
        assert shape.parameters == expected
    sliding = read_shape(full).sliding_layers
    listed = getattr(built, "layer_types", None)
    assert listed is None or sliding == listed.count("sliding_attention")


@pytest.mark.parametrize(("model_type", "changes"), FAMILIES)
def test_a_token_is_multiplied_with_the_matrices_that_transformers_builds(
    model_type: str, changes: dict[str, Any]
) -> None:
    """All weights of two dimensions and more but embeddings and output layer; of experts those that are active."""
    torch = pytest.importorskip("torch", reason="compares with the models that torch builds")
    transformers = pytest.importorskip("transformers", reason="compares with the models that Transformers builds")
    config = {**SMALL, **changes}
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(transformers.AutoConfig.for_model(model_type, **config))
    shape = read_shape({**config, "model_type": model_type})
    head = model.get_output_embeddings().weight
    tables = {id(part.weight) for part in model.modules() if isinstance(part, torch.nn.Embedding)} | {id(head)}
    expected = 0
    for name, weight in model.named_parameters():
        if weight.dim() > 1 and id(weight) not in tables:
            routed = ".experts." in name
            expected += weight.numel() * shape.active_experts // shape.experts if routed else weight.numel()
    assert shape.matrix_parameters == expected


def test_a_mixture_of_experts_passes_a_token_through_a_few() -> None:
    config = {**SMALL, "model_type": "mixtral", "num_local_experts": 4, "num_experts_per_tok": 2}
    shape = read_shape(config)
    assert (shape.experts, shape.active_experts) == (4, 2)
    assert shape.parameters - shape.active_parameters == 3 * 2 * 3 * 64 * 96  # layers x idle experts x gate, up, down


def test_bytes_by_dtype_worked_by_hand() -> None:
    gpt2, llama = read_shape(shipped("gpt2-124m")), read_shape(shipped("tinyllama-1.1b"))
    assert weight_bytes(gpt2, "float32") == 497_759_232
    assert weight_bytes(llama, "bfloat16") == 2_200_096_768
    assert kv_bytes_per_token(gpt2, "float32") == 2 * 12 * 12 * 64 * 4 == 73_728
    assert kv_bytes_per_token(llama, "float16") == 2 * 22 * 4 * 64 * 2 == 22_528
    assert dtype_bytes("float8_e4m3fn") == 1
    with pytest.raises(ValueError, match="unknown dtype"):
        dtype_bytes("int3")


def test_an_unknown_family_is_computed_like_llama_and_flagged() -> None:
    known, unknown = (read_shape({**SMALL, "model_type": name}) for name in ("llama", "brand_new"))
    assert not unknown.exact
    assert unknown.architecture == "brand_new"
    assert unknown.parameters == known.parameters


def test_a_multimodal_config_is_read_for_its_language_part() -> None:
    shape = read_shape({"model_type": "gemma3", "dtype": "bfloat16", "text_config": {**SMALL, "model_type": "llama"}})
    assert (shape.architecture, shape.hidden, shape.dtype, shape.exact) == ("llama", 64, "bfloat16", False)


def test_dtype_and_quantization_are_told() -> None:
    config = {**SMALL, "model_type": "llama", "torch_dtype": "torch.float16", "quantization_config": {}}
    shape = read_shape(config)
    assert (shape.dtype, shape.quantization) == ("float16", "unknown")
    assert read_shape({**config, "quantization_config": {"quant_method": "gptq"}}).quantization == "gptq"
    assert read_shape({**config, "torch_dtype": "\x1b[2J"}).dtype == ""


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"hidden_size": -1}, "hidden_size is -1; allowed: a whole number from 1"),
        ({"hidden_size": "64"}, "hidden_size is '64'"),
        ({"hidden_size": True}, "hidden_size is True"),
        ({"hidden_size": 64.5}, "hidden_size is 64.5"),
        ({"hidden_size": None}, "there is no hidden_size"),
        ({"num_hidden_layers": 10**30}, "num_hidden_layers is 1000"),
        ({"vocab_size": [1]}, "vocab_size is [1]"),
        ({"num_key_value_heads": 3}, "num_key_value_heads is 3; allowed: a divisor of the 4 attention heads"),
        ({"num_attention_heads": 128, "num_key_value_heads": 128}, "at most the hidden size"),
        ({"tie_word_embeddings": "yes"}, "tie_word_embeddings is 'yes'; allowed: true or false"),
        ({"num_experts": 2, "num_experts_per_tok": 3}, "at most the 2 experts"),
        ({"hidden_size": "\x1b]0;owned\x07" + "x" * 1000}, "hidden_size is '"),
    ],
)
def test_a_bad_value_is_named(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ModelError) as caught:
        read_shape({**SMALL, "model_type": "llama", **changes}, source="x/config.json")
    assert caught.value.message.startswith("x/config.json: ")
    assert said in caught.value.message
    assert "\x1b" not in caught.value.message
    assert len(caught.value.message) < 300


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KEYS = [
    *SMALL, "model_type", "architectures", "head_dim", "num_experts", "num_experts_per_tok", "sliding_window",
    "layer_types", "use_sliding_window", "max_window_layers", "sliding_window_pattern", "mlp_only_layers",
    "decoder_sparse_step", "text_config", "quantization_config", "torch_dtype", "attention_bias",
]  # fmt: skip
MODEL_TYPES = ["llama", "gpt2", "qwen2", "qwen3_moe", "gemma2", "gemma3_text", "mixtral", "other"]


@settings(max_examples=300)
@given(st.dictionaries(st.sampled_from(KEYS), json_values, max_size=4), st.sampled_from(MODEL_TYPES))
def test_any_config_gives_a_shape_or_one_clear_error(changes: dict[str, Any], model_type: str) -> None:
    try:
        shape = read_shape({**SMALL, "model_type": model_type, **changes})
    except ModelError as error:
        message = error.message
    else:
        message = ""
        assert shape.parameters > 0
        assert 0 <= shape.sliding_layers <= shape.layers
        msgspec.json.encode(shape)
    assert "\n" not in message
    assert len(message) < 300
