"""How likely a text is: what engines say, against a few lines of plain arithmetic on the same weights."""

import math
from pathlib import Path
from typing import Any

import pytest
from support.checkpoints import save_llama, save_tokenizer
from support.onnx_models import build_here

from infertui.config.schema import DeviceConfig, EngineConfig, ModelConfig
from infertui.measure.clock import MonotonicClock
from infertui.measure.quality import perplexity
from infertui.targets.engine.base import Batch, Capacity, Engine, GenerationPlan, LoadRequest, Scoring, create, probe
from infertui.targets.engine.target import EngineTarget
from infertui.worker.protocol import Score, Scored
from infertui.worker.scoring import scored
from infertui.worker.stamps import Cancelled, Progress

torch = pytest.importorskip("torch", reason="torch is not installed: nothing to compare with")
pytest.importorskip("transformers", reason="transformers is not installed: nothing to compare with")

TEXT = "the quick brown fox jumps over the lazy dog, again and again; " * 60
TOKENS = 600
CLOCK = MonotonicClock()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights spread so wide that its perplexity is far from the size of its vocabulary."""
    folder = tmp_path_factory.mktemp("scored")
    save_tokenizer(folder)
    save_llama(folder)
    return folder


def loaded(checkpoint: Path, name: str = "transformers", **settings: Any) -> tuple[Engine, Any]:
    engine = create(name, CLOCK)
    config = EngineConfig(name=name, **{"dtype": "float32", **settings})
    request = LoadRequest(
        ModelConfig(id=str(checkpoint)), config, DeviceConfig(name="cpu", threads=1), Capacity(1, 480, 8)
    )
    return engine, engine.load(request)


def target_of(engine: Engine, facts: Any) -> EngineTarget:
    return EngineTarget(engine, LoadRequest(ModelConfig(), EngineConfig(name=facts.engine), DeviceConfig()), facts)


def answer(engine: Engine, facts: Any, text: str = TEXT, tokens: int = TOKENS) -> Scored:
    return scored(target_of(engine, facts), Score(text, tokens, 60.0), Progress(CLOCK), lambda: False)


def plain(checkpoint: Path, window: int, dtype: str = "float32", tokens: int = TOKENS) -> float:
    """Perplexity by definition: a forward over each window, a softmax, logarithms, in float64."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=getattr(torch, dtype)).eval()
    ids = AutoTokenizer.from_pretrained(checkpoint).encode(TEXT)[:tokens]
    total, count = 0.0, 0
    for begin in range(0, len(ids) - 1, window - 1):
        piece = ids[begin : begin + window]
        with torch.no_grad():
            logits = model(torch.tensor([piece])).logits[0].double()
        chances = torch.softmax(logits, -1)
        for place, token in enumerate(piece[1:]):
            total += math.log(chances[place, token])
            count += 1
    assert count == tokens - 1
    return math.exp(-total / count)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_transformers_agrees_with_the_definition(checkpoint: Path, dtype: str) -> None:
    engine, facts = loaded(checkpoint, dtype=dtype)
    assert isinstance(engine, Scoring)
    found = answer(engine, facts)
    assert (found.tokens, found.window, found.reason) == (TOKENS - 1, 512, "")  # the model has 512 positions
    assert found.log_likelihood is not None
    # Chunks with a KV cache add up in another order: nothing in float32, the last bits of logits in bfloat16.
    tolerance = 1e-4 if dtype == "float32" else 2e-2
    assert perplexity(found.log_likelihood, found.tokens) == pytest.approx(plain(checkpoint, 512, dtype), rel=tolerance)
    assert abs(math.log(plain(checkpoint, 512, dtype) / facts.vocabulary)) > 0.5  # no model that merely guesses


@pytest.mark.parametrize("mode", ["static", "continuous"])
def test_scoring_after_a_run_sees_the_same_and_leaves_no_trace(checkpoint: Path, mode: str) -> None:
    from support.sinks import Stamps

    eager = answer(*loaded(checkpoint))
    engine, facts = loaded(checkpoint, mode=mode)
    batch = Batch(((5, 6, 7, 8),), output_len=12)

    def generated() -> list[list[int]]:
        engine.prepare(GenerationPlan(1, (4,), 12), lambda _: None)
        return engine.generate(batch, Stamps()).read()

    before = generated()
    found = answer(engine, facts)
    assert found.log_likelihood == pytest.approx(eager.log_likelihood, rel=1e-6)
    assert generated() == before


def test_llama_cpp_agrees_with_transformers(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed: pip install infertui[llama-cpp]")
    pytest.importorskip("gguf", reason="gguf is not installed: pip install gguf")
    from support.sinks import Stamps

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    engine, facts = loaded(checkpoint, "llama-cpp")
    before = engine.generate(Batch(((5, 6, 7),), output_len=8), Stamps()).read()
    found = answer(engine, facts)
    assert found.log_likelihood is not None
    assert perplexity(found.log_likelihood, found.tokens) == pytest.approx(plain(checkpoint, 512), rel=1e-3)
    assert engine.generate(Batch(((5, 6, 7),), output_len=8), Stamps()).read() == before
    quantized, facts = loaded(checkpoint, "llama-cpp", dtype="auto", quantization="q4_0")
    worse = answer(quantized, facts)
    assert worse.log_likelihood is not None
    assert worse.log_likelihood != pytest.approx(found.log_likelihood, rel=1e-4)  # those weights were scored


@pytest.mark.parametrize(("name", "tokens"), [("openvino", TOKENS), ("onnxruntime-genai", TOKENS), ("vllm", 400)])
def test_what_other_libraries_say_of_prompts_is_the_same(
    name: str, tokens: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """vLLM holds the positions of its workload, 488: a text of 600 tokens in windows of 512 has no perplexity there."""
    if not (status := probe(name)).available:
        pytest.skip(f"{name}: {status.reason}")
    if name == "onnxruntime-genai":
        build_here(monkeypatch)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "wide"
    save_tokenizer(folder)
    save_llama(folder, num_attention_heads=2, num_key_value_heads=1)  # heads of 64: the smallest of vLLM on a CPU
    engine, facts = loaded(folder, name)
    if name == "vllm":
        assert "room for 487 tokens" in answer(engine, facts).reason
    found = answer(engine, facts, tokens=tokens)
    assert (found.tokens, found.window, found.reason) == (tokens - 1, 512, "")
    assert found.log_likelihood is not None
    expected = plain(folder, 512, tokens=tokens)
    assert perplexity(found.log_likelihood, found.tokens) == pytest.approx(expected, rel=1e-3)


def test_a_text_of_one_token_and_an_end_to_patience_are_reasons(checkpoint: Path) -> None:
    engine, facts = loaded(checkpoint)
    assert "nothing to predict" in answer(engine, facts, tokens=1).reason
    late = scored(target_of(engine, facts), Score(TEXT, TOKENS, 0.0), Progress(CLOCK), lambda: False)
    assert late.log_likelihood is None
    assert "longer than quality.score_timeout_s" in late.reason
    with pytest.raises(Cancelled):
        scored(target_of(engine, facts), Score(TEXT, TOKENS, 60.0), Progress(CLOCK), lambda: True)
