"""What is said of a model's size, against the cache that Transformers makes in a real forward pass."""

from functools import cache
from typing import Any

import pytest
from support.architectures import ARCHITECTURES, Architecture

from infertui.errors import ModelError
from infertui.models.hub.asking import LibraryAnswer
from infertui.models.memory.kv_cache import bytes_per_token
from infertui.models.shapes import read_shape
from infertui.targets.engine.transformers.describe import describe

torch = pytest.importorskip("torch", reason="compares with what PyTorch holds")
transformers = pytest.importorskip("transformers", reason="compares with what Transformers makes")

UNKNOWN = {"RecurrentGemma 2B"}
"""It keeps its states in its modules, where no cache can be looked at."""


def held(cache: Any) -> int:
    """Bytes of every tensor that a cache holds, wherever it does."""
    lists = [tensor for value in vars(cache).values() if isinstance(value, list) for tensor in value]
    total = sum(tensor.nbytes for tensor in lists if isinstance(tensor, torch.Tensor))
    for layer in cache.layers:
        for value in vars(layer).values():
            for tensor in value.values() if isinstance(value, dict) else [value]:
                if isinstance(tensor, torch.Tensor) and tensor.dim() > 1:
                    total += tensor.nbytes
    return int(total)


@cache
def told_of(name: str) -> LibraryAnswer:
    return describe(next(each for each in ARCHITECTURES if each.name == name).sibling())


def real(architecture: Architecture) -> tuple[int, dict[int, int]]:
    """Parameters, and the bytes that are kept of 9, of 10 and of 40 tokens in float32."""
    config = transformers.CONFIG_MAPPING[architecture.model_type].from_dict(architecture.sibling())
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    kept = {}
    for tokens in (9, 10, 40):
        with torch.no_grad():
            out = model(input_ids=torch.randint(3, 100, (1, tokens)), use_cache=True)
        kept[tokens] = held(out.get("past_key_values", out.get("cache_params")))
    return sum(tensor.numel() for tensor in model.parameters()), kept


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=lambda each: each.name.replace(" ", "-"))
def test_a_real_forward_keeps_what_was_said(architecture: Architecture) -> None:
    told = told_of(architecture.name)
    assert told.problem == ""
    if architecture.name in UNKNOWN:
        assert told.cache is None
        return
    parameters, kept = real(architecture)
    assert told.parameters == parameters
    assert told.cache is not None
    state = round(sum(group.state_bytes(4) for group in told.cache))
    assert bytes_per_token(told.cache, 4, 4) == kept[10] - kept[9]
    assert state == kept[9] - 9 * (kept[10] - kept[9])
    # Between steps the library keeps one token less than the window.
    windowed = sum(group.token_bytes(4, 4) * min(40, group.window - 1 if group.window else 40) for group in told.cache)
    assert windowed + state == kept[40]


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=lambda each: each.name.replace(" ", "-"))
def test_families_with_a_formula_of_their_own_agree(architecture: Architecture) -> None:
    config = architecture.sibling()
    try:
        shape = read_shape(config)
    except ModelError:
        return
    if not shape.exact:
        return
    full = transformers.CONFIG_MAPPING[architecture.model_type].from_dict(config).to_dict()
    told = told_of(architecture.name)
    for each in (shape, read_shape(full)):
        assert each.parameters == told.parameters
        assert sorted(map(str, each.cache or ())) == sorted(map(str, told.cache or ()))
        assert each.matrix_parameters == told.matrix_parameters
        assert each.active_parameters == told.active_parameters


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({}, "names no model_type"),
        ({"model_type": "no-such-thing"}, "knows no no-such-thing"),
        ({"model_type": "llama", "hidden_size": "x"}, "hidden_size"),
        ({"model_type": "llama", "num_attention_heads": 0}, "Error"),
        ({"model_type": "llama", "vocab_size": 2**62}, "overflow"),
    ],
)
def test_what_is_wrong_becomes_the_answer(config: dict[str, Any], said: str) -> None:
    told = describe(config)
    assert said in told.problem
    assert told.cache is None


def test_models_of_images_are_no_decoders() -> None:
    assert not describe({"model_type": "depth_anything"}).decoder


def test_names_of_kernels_to_fetch_are_not_looked_at() -> None:
    told = describe(ARCHITECTURES[0].sibling() | {"attn_implementation": "somebody/kernels", "auto_map": {"a": "b.c"}})
    assert told.problem == ""
    assert told.parameters > 0
