"""The fused kernels, run by Triton's interpreter on a CPU: the same tokens as the library."""

import os
from collections.abc import Iterator
from typing import Any

import pytest

from infertui.config.engines.transformers import TransformersOptions
from infertui.engines.base import Plan
from infertui.engines.transformers.fused_weights import FusedWeights, why_not
from infertui.engines.transformers.graph import GraphWay
from infertui.engines.transformers.graph_state import GraphState

torch = pytest.importorskip("torch", reason="torch is not installed: pip install infertui[transformers]")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")

LENGTH = 8
PROMPTS = ([5, 6, 7, 8, 9], [1, 2], [9, 9, 9])


@pytest.fixture(scope="module", autouse=True)
def interpreter() -> Iterator[None]:
    """Triton decides when a kernel is defined whether it is compiled or interpreted."""
    pytest.importorskip("triton", reason="Triton is not installed; CUDA builds of PyTorch bring it")
    before = os.environ.get("TRITON_INTERPRET")
    os.environ["TRITON_INTERPRET"] = "1"
    yield
    if before is None:
        del os.environ["TRITON_INTERPRET"]


def llama(**changes: Any) -> Any:
    options = {
        "hidden_size": 96, "intermediate_size": 176, "num_hidden_layers": 2, "num_attention_heads": 6,
        "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 300, "max_position_embeddings": 4096,
    }  # fmt: skip
    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**options | changes)).eval()
    for parameter in model.parameters():
        # Weights that matter, and norms that are not all one.
        parameter.data = (
            parameter.data * 4 if parameter.dim() > 1 else parameter.data + torch.randn_like(parameter) / 10
        )
    return model


class OnCpu(GraphWay):
    """Launches the step instead of capturing it."""

    def __init__(self, model: Any) -> None:
        self._model, self._pad_id = model, 0
        self._options = TransformersOptions(graph_step="fused")
        self._prefills = {}
        self._begin = lambda: None

    def tokens(self, prompts: tuple[list[int], ...], positions: int) -> list[list[int]]:
        from infertui.engines.transformers.fused import FusedStep

        width = max(map(len, prompts))
        plan = Plan(len(prompts), (width,), positions - width)
        self._state = GraphState(self._new_cache(positions), plan, positions, torch.device("cpu"))
        with torch.inference_mode():
            self._prefill(list(prompts))
            step = FusedStep(self._model, FusedWeights(self._model), self._state)
            self._prefill(list(prompts))
            step.begin()
            for _ in range(LENGTH - 1):
                step()
        ids: list[list[int]] = self._state.outputs[:, width : width + LENGTH].tolist()
        return ids


def library(model: Any, prompt: list[int]) -> list[int]:
    output = model.generate(
        torch.tensor([prompt]), max_new_tokens=LENGTH, do_sample=False, eos_token_id=None, pad_token_id=0
    )
    ids: list[int] = output[0, len(prompt) :].tolist()
    return ids


@pytest.mark.parametrize(
    ("prompts", "positions"),
    [(PROMPTS[:1], 40), (PROMPTS, 40), (PROMPTS[:1], 300), (PROMPTS, 300), (PROMPTS[:1], 1100)],
    ids=["alone", "padded batch", "4 splits", "4 splits, padded batch", "16 splits"],
)
def test_tokens_are_the_librarys(prompts: tuple[list[int], ...], positions: int) -> None:
    model = llama()
    expected = [library(model, prompt) for prompt in prompts]
    assert OnCpu(model).tokens(prompts, positions) == expected


def test_the_model_still_says_the_same_after_its_weights_were_taken_over() -> None:
    model = llama()
    before = library(model, PROMPTS[0])
    held = sum(parameter.untyped_storage().nbytes() for parameter in model.parameters())
    FusedWeights(model)
    assert library(model, PROMPTS[0]) == before
    storages = {p.untyped_storage().data_ptr(): p.untyped_storage().nbytes() for p in model.parameters()}
    assert sum(storages.values()) == held, "a copy is kept"


def test_other_head_counts_and_scaled_rotations_are_the_librarys() -> None:
    rope = {
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 16, "rope_theta": 500000.0,
    }  # fmt: skip
    model = llama(num_attention_heads=4, num_key_value_heads=4, head_dim=32, rope_parameters=rope)
    assert OnCpu(model).tokens(PROMPTS[:1], 40) == [library(model, PROMPTS[0])]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"attention_bias": True}, "biases"),
        ({"hidden_act": "gelu"}, "not silu"),
        ({"head_dim": 24}, "no power of two"),
    ],
)
def test_models_that_differ_are_told_apart(changes: dict[str, Any], reason: str) -> None:
    assert reason in why_not(llama(**changes))
    assert not why_not(llama())


def test_a_model_of_another_build_is_told_apart() -> None:
    config = transformers.GPT2Config(n_layer=1, n_embd=32, n_head=2, vocab_size=64, n_positions=32)
    assert "not Llama-like" in why_not(transformers.GPT2LMHeadModel(config))
