"""ONNX Runtime GenAI on an NVIDIA GPU: provider, number formats and graphs in force, tokens those of Transformers."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.onnx_models import Running, asked, generate, load, request

from infertui.config.engines.onnxruntime_genai import SPEC
from infertui.errors import EngineError
from infertui.models.resolve import resolve
from infertui.targets.engine import gpus
from infertui.targets.engine.base import Batch, Scoring
from infertui.targets.engine.base import check as refuse
from infertui.targets.engine.onnxruntime_genai.installed import versions
from infertui.targets.engine.verify import check, check_device, check_loaded

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(600)]

pytest.importorskip("onnxruntime_genai", reason="ONNX Runtime GenAI is not installed: pip install infertui[onnx-cuda]")
torch = pytest.importorskip("torch", reason="torch is not installed: it makes the models")
transformers = pytest.importorskip("transformers", reason="transformers is not installed: it makes the models")
if "onnxruntime-gpu" not in versions():
    pytest.skip("onnxruntime-gpu is not installed: pip install infertui[onnx-cuda]", allow_module_level=True)

PROMPTS = ((5, 17, 90, 3), (42,), tuple(range(3, 90)))
LLAMA = {
    "model_type": "llama", "vocab_size": 512, "hidden_size": 256, "intermediate_size": 768, "num_hidden_layers": 3,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512, "initializer_range": 0.3,
    "rms_norm_eps": 1e-5, "hidden_act": "silu", "tie_word_embeddings": False,
}  # fmt: skip
"""Heads of 64 numbers: the kernels for attention take no narrower ones."""


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("models") / "llama.json"
    path.write_text(json.dumps(LLAMA))
    return f"synthetic:{path}"


def loaded(model: str, **settings: Any) -> Running:
    """A model on the GPU, checked to be what was asked for."""
    config = asked(**settings)
    engine, facts = load(model, config, device="cuda", threads=0)
    check_loaded(config, facts)
    check_device(request(model, config, device="cuda").device, facts)
    check(config, SPEC, engine.effective())
    return engine, facts


@pytest.fixture(scope="module")
def float16(llama: str) -> Running:
    return loaded(llama, dtype="float16")


def logits(model: str, dtype: str) -> Any:
    """Of the longest prompt, by Transformers in float32 with the same weights, which are drawn in `dtype`."""
    config = transformers.AutoConfig.from_pretrained(model.removeprefix("synthetic:"))
    torch.manual_seed(0)
    made = transformers.AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype)).eval().float()
    with torch.no_grad():
        return made(torch.tensor([PROMPTS[2]])).logits[0]


def agreeing(outputs: list[list[int]], expected: list[list[int]]) -> float:
    """The share of tokens that agree up to the first of each sequence that does not."""
    same = 0
    for output, wanted in zip(outputs, expected, strict=True):
        for token, other in zip(output, wanted, strict=True):
            if token != other:
                break
            same += 1
    return same / sum(map(len, expected))


@pytest.mark.parametrize(("dtype", "apart"), [("float16", 0.1), ("bfloat16", 0.3)])
def test_sixteen_bits_have_nearly_the_logits_of_transformers(llama: str, dtype: str, apart: float) -> None:
    """Transformers' own in that format are 0.02 and 0.08 of their spread apart from those in float32."""
    engine, facts = loaded(llama, dtype=dtype)
    assert facts.dtype == dtype
    wanted = logits(llama, dtype)
    generator, _ = engine._generator(Batch((PROMPTS[2],), 0), len(PROMPTS[2]))
    generator.append_tokens([list(PROMPTS[2])])
    found = torch.tensor(generator.get_output("logits")[0]).float()
    assert (found - wanted).pow(2).mean().sqrt() < apart * wanted.std()
    assert len(generate(engine, PROMPTS)) == len(PROMPTS)


def test_it_says_where_it_runs(float16: Running) -> None:
    engine, facts = float16
    effective = engine.effective()
    assert effective.settings["onnxruntime_genai.execution_provider"] == "cuda"
    assert effective.settings["mode"] == "eager"
    assert effective.facts["device_type"] == "CUDA"
    assert "on cuda" in effective.facts["nodes"]
    assert (facts.device, facts.threads) == ("cuda:0", None)
    assert "NVIDIA" in facts.device_name
    assert facts.device_uuid.startswith("GPU-")
    assert facts.kv_token_bytes == 3 * 2 * 2 * 64 * 2


def test_an_unequal_batch_generates_what_each_does_alone(float16: Running) -> None:
    together = generate(float16[0], PROMPTS)
    assert agreeing(together, [generate(float16[0], [prompt])[0] for prompt in PROMPTS]) > 0.9


def test_captured_steps_are_replayed_and_say_the_same(llama: str, float16: Running) -> None:
    engine, _ = loaded(llama, dtype="float16", mode="cudagraph")
    effective = engine.effective()
    assert (effective.settings["mode"], effective.graphs) == ("cudagraph", "replayed")
    for prompts in (PROMPTS[:1], PROMPTS[2:], PROMPTS[:1]):  # sizes of prompts come and go
        assert agreeing(generate(engine, prompts), generate(float16[0], prompts)) > 0.9


@pytest.mark.parametrize("settings", [
    {"quantization": "int4", "dtype": "float16"}, {"quantization": "int4", "dtype": "bfloat16"},
    {"quantization": "int8"}, {"quantization": "int4", "dtype": "float16", "mode": "cudagraph"},
    {"dtype": "float16", "prompt_logits": "last"},
])  # fmt: skip
def test_forms_load_and_say_what_is_in_force(llama: str, settings: dict[str, Any]) -> None:
    engine, facts = loaded(llama, **settings)
    sequences = 1 if "mode" in settings else 2
    assert len(generate(engine, [PROMPTS[2]] * sequences)) == sequences
    assert bool(facts.quantized_layers) == ("quantization" in settings)


def test_sampling_follows_its_seed(float16: Running) -> None:
    def sampled(seed: int, **how: Any) -> list[list[int]]:
        return generate(float16[0], [PROMPTS[0]] * 2, output_len=24, temperature=8.0, seed=seed, **how)

    assert sampled(1) == sampled(1)
    assert sampled(1) != sampled(2)
    greedy_one = generate(float16[0], [PROMPTS[0]], output_len=24)[0]
    assert sampled(3, top_k=1) == [greedy_one, greedy_one]


def test_a_text_is_scored(float16: Running) -> None:
    engine, _ = float16
    assert isinstance(engine, Scoring)
    assert engine.scoring().how
    total = engine.score(PROMPTS[2], lambda: None)
    assert -87 * 60 < total < 0


def test_tensorrt_for_rtx_is_refused_with_the_reason_where_it_does_not_run(llama: str) -> None:
    driver = gpus.read()
    assert driver is not None
    wanted = request(llama, asked(dtype="float16", execution_provider="nv-tensorrt-rtx"), device="cuda")
    if any(gpu.capability in ((8, 6), (8, 9)) or gpu.capability >= (12, 0) for gpu in driver.gpus):
        pytest.skip("a GPU here is one that it supports")
    with pytest.raises(EngineError, match=r"compute capability 8\.6, 8\.9, and 12\.0 or newer, and here there is"):
        refuse(wanted, resolve(llama))


def test_a_run_on_the_gpu(tmp_path: Path) -> None:
    """The whole of it, with a model whose figures mean something."""
    import os
    import subprocess
    import sys

    command = [
        sys.executable, "-m", "infertui", "run", "--model", "synthetic:tinyllama-1.1b", "--engine", "onnxruntime-genai",
        "--device", "cuda", "--isl", "100", "--osl", "40", "-n", "3", "--warmup", "1", "--dtype", "float16", "--json",
        "--ui", "none", "--out", str(tmp_path),
    ]  # fmt: skip
    done = subprocess.run(command, env=dict(os.environ), capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode in (0, 3), done.stderr[-3000:]  # 3: measured, and disturbed
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["evidence"]["levers"]["onnxruntime_genai.execution_provider"] == "cuda"
    assert result["loaded"]["dtype"] == "float16"
