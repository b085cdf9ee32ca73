"""The fused kernels, run by Triton's interpreter on a CPU: the same tokens as the library."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from typing import Any

import pytest
from support.interpreted import CASES, PROMPTS, library, llama

from infertui.targets.engine.transformers.fused import FusedWeights, why_not

torch = pytest.importorskip("torch", reason="torch is not installed: pip install infertui[transformers]")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")

pytestmark = pytest.mark.timeout(400)  # the interpreter is slow, and more so beside others


@pytest.fixture(scope="module")
def answers() -> dict[str, dict[str, list[list[int]]]]:
    if find_spec("triton") is None:
        pytest.skip("Triton is not installed; CUDA builds of PyTorch bring it")
    environment = os.environ | {"TRITON_INTERPRET": "1"}
    program = [sys.executable, "-m", "support.interpreted"]
    done = subprocess.run(program, capture_output=True, text=True, env=environment, cwd="tests", check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, dict[str, list[list[int]]]] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("case", CASES)
def test_tokens_are_the_librarys(answers: dict[str, dict[str, list[list[int]]]], case: str) -> None:
    assert answers[case]["fused"] == answers[case]["library"]


def test_the_model_still_says_the_same_after_its_weights_were_taken_over() -> None:
    model = llama()
    before = library(model, PROMPTS[0])
    held = sum(parameter.untyped_storage().nbytes() for parameter in model.parameters())
    FusedWeights(model)
    assert library(model, PROMPTS[0]) == before
    storages = {part.untyped_storage().data_ptr(): part.untyped_storage().nbytes() for part in model.parameters()}
    assert sum(storages.values()) == held, "a copy is kept"


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
