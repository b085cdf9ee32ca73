"""Quantised weights of the Transformers engine, on a CPU: counted and weighed by looking at the tensors."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
from support.transformers_models import NANO, PROMPTS, load, prepare, save_llama, tokens

from infertui.errors import EngineError
from infertui.targets.engine.transformers.inspection import quantization_in_force

torch = pytest.importorskip("torch", reason="torch is not installed: pip install infertui[transformers]")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")

HAS_TORCHAO = importlib.util.find_spec("torchao") is not None
needs_torchao = pytest.mark.skipif(not HAS_TORCHAO, reason="torchao is not installed: pip install torchao")

NANO_LINEARS = 4 * 7


def linear_elements(engine: Any) -> int:
    head = engine._model.get_output_embeddings()
    linears = (module for module in engine._model.modules() if isinstance(module, torch.nn.Linear))
    return sum(module.in_features * module.out_features for module in linears if module is not head)


@needs_torchao
@pytest.mark.parametrize(("word", "bits"), [("int8", 8), ("fp8", 8), ("int4", 4)])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_linear_layers_are_held_in_fewer_bits(word: str, bits: int, dtype: str) -> None:
    plain, before = load(dtype=dtype)
    engine, loaded = load(dtype=dtype, quantization=word)
    assert loaded.quantized_layers == NANO_LINEARS
    assert loaded.dtype == dtype
    assert loaded.parameters == before.parameters
    assert before.weight_bytes is not None
    assert loaded.weight_bytes is not None
    elements, size = linear_elements(plain), getattr(torch, dtype).itemsize
    saved = before.weight_bytes - loaded.weight_bytes
    # Scales, and zero points for groups, take a little of what is saved.
    assert elements * (size - bits / 8) * 0.8 < saved <= elements * (size - bits / 8)
    assert [len(ids) for ids in tokens(engine, 5)] == [5] * len(PROMPTS)
    found = engine.effective()
    assert found.settings["quantization"] == word
    assert found.facts["quantization"].startswith("weight-only")
    assert ("unpacks the weights in every step" in found.reasons.get("quantization", "")) == (word == "int4")
    assert loaded.versions["torchao"]
    assert Path(loaded.paths["torchao"]).is_file()


@needs_torchao
def test_int8_logits_are_close_to_those_of_the_model() -> None:
    plain, _ = load()
    engine, _ = load(quantization="int8")
    ids = torch.tensor([PROMPTS[2]])
    with torch.no_grad():
        exact, rounded = plain._model(ids).logits, engine._model(ids).logits
    assert 0 < (exact - rounded).abs().max() < 0.05 * exact.abs().max()


@needs_torchao
def test_checkpoints_are_quantised_the_same_way(tmp_path: Path) -> None:
    engine, loaded = load(str(save_llama(tmp_path)), quantization="int8")
    assert loaded.quantized_layers == 2 * 7
    assert not loaded.random_weights
    assert len(tokens(engine, 5)[0]) == 5


@needs_torchao
@pytest.mark.parametrize("mode", ["static", "continuous"])
def test_quantised_models_go_with_other_modes(mode: str) -> None:
    engine, _ = load(quantization="int8", mode=mode)
    try:
        prepare(engine, PROMPTS, 6)
        assert tokens(engine, 6) == tokens(load(quantization="int8")[0], 6)
        assert engine.effective().settings["mode"] == mode
        assert engine.effective().settings["quantization"] == "int8"
    finally:
        engine.close()


@needs_torchao
def test_the_convolutions_of_gpt2_are_quantised_as_what_they_are(tmp_path: Path) -> None:
    config = {"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "n_embd": 64, "n_head": 2, "n_layer": 2}
    (tmp_path / "config.json").write_text(json.dumps({**config, "n_positions": 64, "vocab_size": 300}))
    model = f"synthetic:{tmp_path / 'config.json'}"
    plain, _ = load(model)
    engine, loaded = load(model, quantization="int8")
    assert loaded.quantized_layers == 2 * 4
    ids = torch.tensor([PROMPTS[2]])
    with torch.no_grad():
        exact, rounded = plain._model(ids).logits, engine._model(ids).logits
    assert 0 < (exact - rounded).abs().max() < 0.05 * exact.abs().max()


@needs_torchao
def test_what_the_device_cannot_do_is_refused() -> None:
    with pytest.raises(EngineError, match="fp8-dynamic cannot be used with float32 on cpu"):
        load(quantization="fp8-dynamic")


@needs_torchao
def test_layers_that_torchao_leaves_as_they_are_fail_the_load(monkeypatch: pytest.MonkeyPatch) -> None:
    import torchao.quantization as ao

    def only_the_first(model: Any, config: Any, filter_fn: Any) -> None:
        names = [name for name, module in model.named_modules() if filter_fn(module, name)]
        quantize(model, config, filter_fn=lambda _module, name: name == names[0])

    quantize = ao.quantize_
    monkeypatch.setattr(ao, "quantize_", only_the_first)
    with pytest.raises(EngineError, match=f"left {NANO_LINEARS - 1} of {NANO_LINEARS} linear layers as they were"):
        load(quantization="int8")


@needs_torchao
def test_int4_needs_layers_that_groups_divide(tmp_path: Path) -> None:
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 48, "intermediate_size": 96,
        "num_attention_heads": 2, "num_hidden_layers": 1, "vocab_size": 300,
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(EngineError, match="a multiple of 32"):
        load(f"synthetic:{tmp_path / 'config.json'}", quantization="int4")


@needs_torchao
def test_quantising_leaves_the_compiler_alone() -> None:
    """torchao would turn on coordinate descent and lower the precision of matrix products otherwise."""
    import torch._inductor.config as inductor

    before = inductor.coordinate_descent_tuning, torch.get_float32_matmul_precision()
    load(quantization="int8")
    load(quantization="int4")
    assert (inductor.coordinate_descent_tuning, torch.get_float32_matmul_precision()) == before


@needs_torchao
def test_weights_that_were_not_quantised_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that does nothing is found out by looking at the weights."""
    import torchao.quantization

    monkeypatch.setattr(torchao.quantization, "quantize_", lambda *_arguments, **_options: None)
    with pytest.raises(EngineError, match=f"left {NANO_LINEARS} of {NANO_LINEARS} linear layers"):
        load(quantization="int8")


def test_a_quantised_checkpoint_is_called_by_its_method() -> None:
    """Whichever library brought it: the config names the method, the weights show how many layers."""
    engine, loaded = load(NANO)
    model = engine._model
    assert quantization_in_force(model) == ("none", 0, "")
    assert loaded.quantized_layers is None
    model.config.quantization_config = {"quant_method": "somequant"}
    for layer in model.model.layers:
        packed = layer.mlp.up_proj.weight.to(torch.int8)
        layer.mlp.up_proj.weight = torch.nn.Parameter(packed, requires_grad=False)
    assert quantization_in_force(model) == ("somequant", 4, "4 Linear")


@pytest.mark.skipif(HAS_TORCHAO, reason="torchao is installed")
def test_without_torchao_the_remedy_is_named() -> None:
    with pytest.raises(EngineError, match="torchao"):
        load(quantization="int8")
