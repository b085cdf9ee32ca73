"""The Transformers engine on a CPU, with real models: what it generates, and that it does what it says."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.sinks import Stamps
from support.transformers_models import save_llama

from infertui.config.schema import DeviceConfig, Dtype, EngineConfig, ModelConfig
from infertui.errors import EngineError, ModelError
from infertui.measure.clock import MonotonicClock
from infertui.targets.engine.base import Batch, Loaded, LoadRequest, create
from infertui.targets.engine.transformers.engine import TransformersEngine

torch = pytest.importorskip("torch", reason="torch is not installed: pip install infertui[transformers]")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")

NANO = "synthetic:nano"
PROMPTS = ((5, 17, 90, 3), (42,), (7, 7, 8, 200, 11, 12, 13))


def load(
    model: str = NANO,
    *,
    dtype: Dtype = "float32",
    attention: str = "auto",
    device: str = "cpu",
    seed: int = 0,
) -> tuple[TransformersEngine, Loaded]:
    engine = create("transformers", MonotonicClock())
    assert isinstance(engine, TransformersEngine)
    request = LoadRequest(
        ModelConfig(id=model, seed=seed),
        EngineConfig(dtype=dtype, attention=attention),
        DeviceConfig(name=device, threads=1),
    )
    return engine, engine.load(request)


@pytest.fixture(scope="module")
def nano() -> Iterator[tuple[TransformersEngine, Loaded]]:
    threads = torch.get_num_threads()
    yield load()
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with a trained tokenizer and a generation config that asks for sampling."""
    return save_llama(tmp_path_factory.mktemp("checkpoint"))


def generate(engine: TransformersEngine, batch: Batch) -> tuple[list[list[int]], list[int]]:
    """The token ids that the model really produced, and the tokens of every step."""
    sink = Stamps()
    produced: list[list[int]] = []
    original = engine._model.generate

    def spy(**arguments: object) -> object:
        output = original(**arguments)
        width = max(map(len, batch.prompts))
        produced.extend(output[:, width:].tolist())
        return output

    engine._model.generate = spy
    try:
        generated = engine.generate(batch, sink)
    finally:
        engine._model.generate = original
    assert list(generated.counts) == [len(ids) for ids in produced]
    assert generated.read() == produced
    return produced, sink.tokens


def test_it_reports_what_it_loaded(nano: tuple[TransformersEngine, Loaded]) -> None:
    _, loaded = nano
    assert loaded.engine == "transformers"
    assert loaded.device == "cpu"
    assert loaded.dtype == "float32"
    assert loaded.random_weights
    assert loaded.parameters is not None
    assert loaded.weight_bytes == 4 * loaded.parameters
    assert loaded.threads == 1
    assert loaded.versions["torch"] == torch.__version__ or loaded.versions["torch"] in torch.__version__


def test_every_step_is_told_and_the_length_is_exact(nano: tuple[TransformersEngine, Loaded]) -> None:
    produced, steps = generate(nano[0], Batch(PROMPTS, output_len=9))
    assert steps == [1] * 9
    assert [len(ids) for ids in produced] == [9, 9, 9]


def test_a_batch_generates_what_its_prompts_do_alone(nano: tuple[TransformersEngine, Loaded]) -> None:
    """True batching: left padding and the mask change nothing."""
    together, _ = generate(nano[0], Batch(PROMPTS, output_len=8))
    alone = [generate(nano[0], Batch((prompt,), output_len=8))[0][0] for prompt in PROMPTS]
    assert together == alone


def test_greedy_is_the_arg_max_of_the_logits(nano: tuple[TransformersEngine, Loaded]) -> None:
    """Against the model itself, one full forward per token, no cache."""
    engine, _ = nano
    ids = list(PROMPTS[0])
    for token in generate(engine, Batch((PROMPTS[0],), output_len=6))[0][0]:
        with torch.no_grad():
            logits = engine._model(torch.tensor([ids])).logits[0, -1]
        assert token == int(logits.argmax())
        ids.append(token)


def test_sampling_follows_its_seed(nano: tuple[TransformersEngine, Loaded]) -> None:
    def sample(seed: int) -> list[list[int]]:
        return generate(nano[0], Batch(PROMPTS, output_len=8, temperature=1.5, seed=seed))[0]

    assert sample(1) == sample(1)
    assert sample(1) != sample(2)
    assert sample(1) != generate(nano[0], Batch(PROMPTS, output_len=8))[0]


def test_synthetic_weights_follow_their_seed() -> None:
    def weights(seed: int) -> object:
        return load(seed=seed)[0]._model.lm_head.weight

    assert torch.equal(weights(3), weights(3))
    assert not torch.equal(weights(3), weights(4))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_the_dtype_is_the_one_asked_for(dtype: Dtype) -> None:
    engine, loaded = load(dtype=dtype)
    assert loaded.dtype == dtype
    assert {str(parameter.dtype) for parameter in engine._model.parameters()} == {f"torch.{dtype}"}


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_the_attention_is_the_one_asked_for(attention: str) -> None:
    _, loaded = load(attention=attention)
    assert loaded.attention == attention


def test_an_attention_that_is_not_installed_is_refused() -> None:
    with pytest.raises(ModelError, match="FlashAttention2"):
        load(attention="flash_attention_2")


def test_a_checkpoint_is_loaded_and_its_generation_config_is_not_followed(saved: Path) -> None:
    """Its config samples and stops at every token; the measurement is greedy and of fixed length all the same."""
    engine, loaded = load(str(saved))
    assert not loaded.random_weights
    assert loaded.vocabulary == 400
    ids = tuple(engine.encode("the quick brown"))
    assert 0 < len(ids) < len("the quick brown")
    first, _ = generate(engine, Batch((ids,), output_len=12))
    again, _ = generate(engine, Batch((ids,), output_len=12))
    assert first == again
    assert len(first[0]) == 12


def test_a_checkpoint_that_is_cut_off_is_one_clear_error(saved: Path, tmp_path: Path) -> None:
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((saved / name).read_bytes())
    weights = (saved / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises((ModelError, EngineError)) as caught:
        load(str(tmp_path))
    assert str(tmp_path) in str(caught.value)


def test_any_config_json_can_be_synthetic(saved: Path) -> None:
    _, loaded = load(f"synthetic:{saved / 'config.json'}")
    assert loaded.random_weights
    assert json.loads((saved / "config.json").read_text())["vocab_size"] == loaded.vocabulary


@pytest.mark.skipif(torch.cuda.is_available(), reason="this is about machines without a usable GPU")
def test_cuda_without_a_gpu_names_the_remedy() -> None:
    with pytest.raises(EngineError, match="--device cpu"):
        load(device="cuda")
