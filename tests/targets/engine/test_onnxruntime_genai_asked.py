"""What ONNX Runtime GenAI is asked to make, and what is refused before anything is started. The library is not used."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from support.onnx_models import asked, request

from infertui.errors import ConfigError, EngineError, InfertuiError, ModelError
from infertui.models.resolve import ModelSource, resolve
from infertui.targets.engine import gpus
from infertui.targets.engine.base import Capacity, check
from infertui.targets.engine.gpus import Driver, Gpu
from infertui.targets.engine.onnxruntime_genai import loading
from infertui.targets.engine.onnxruntime_genai.asked import Recipe, recipe, rope_type

LLAMA = {
    "model_type": "llama", "vocab_size": 320, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256, "hidden_act": "silu",
}  # fmt: skip
NANO = "synthetic:nano"


def source(tmp_path: Path, **config: Any) -> ModelSource:
    path = tmp_path / "config.json"
    path.write_bytes(msgspec.json.encode({**LLAMA, **config}))
    return resolve(f"synthetic:{path}")


@pytest.mark.parametrize(
    ("device", "settings", "expected"),
    [
        ("cpu", {}, Recipe("cpu", "fp32", "float32")),
        ("cpu", {"dtype": "float32", "execution_provider": "cpu"}, Recipe("cpu", "fp32", "float32")),
        ("cpu", {"quantization": "int4"}, Recipe("cpu", "int4", "float32", {"accuracy_level": "4"})),
        (
            "cpu", {"quantization": "int8", "activations": "float"},
            Recipe("cpu", "int8", "float32", {"accuracy_level": "1"}),
        ),
        ("cpu", {"prompt_logits": "last"}, Recipe("cpu", "fp32", "float32", {"prune_lm_head": "true"})),
        ("cuda", {}, Recipe("cuda", "bf16", "bfloat16")),  # nano is a bfloat16 one
        ("cuda:1", {"dtype": "float16"}, Recipe("cuda", "fp16", "float16")),
        (
            "cuda", {"quantization": "int4"},
            Recipe("cuda", "int4", "bfloat16", {"accuracy_level": "0", "use_cuda_bf16": "true"}),
        ),
        (
            "cuda", {"quantization": "int4", "dtype": "float16"},
            Recipe("cuda", "int4", "float16", {"accuracy_level": "0"}),
        ),
        ("cuda", {"quantization": "int8"}, Recipe("cuda", "int8", "float16", {"accuracy_level": "0"})),
        ("cuda", {"mode": "cudagraph"}, Recipe("cuda", "bf16", "bfloat16", {"enable_cuda_graph": "true"})),
        ("cuda", {"mode": "eager", "dtype": "float16"}, Recipe("cuda", "fp16", "float16")),
        (
            "cuda", {"execution_provider": "nv-tensorrt-rtx", "dtype": "float16"},
            Recipe("nv-tensorrt-rtx", "fp16", "float16"),
        ),
    ],
)  # fmt: skip
def test_what_is_made(device: str, settings: dict[str, Any], expected: Recipe) -> None:
    assert recipe(request(NANO, asked(**settings), device=device), resolve(NANO)) == expected


@pytest.mark.parametrize(
    ("device", "settings", "problem"),
    [
        ("cpu", {"dtype": "bfloat16"}, "float32 on CPUs, and bfloat16 was asked for"),
        ("cpu", {"dtype": "float16", "quantization": "int4"}, "float32 on CPUs, and float16"),
        ("cpu", {"execution_provider": "cuda"}, "cuda computes on a GPU, and this run has the CPU"),
        ("cpu", {"execution_provider": "nv-tensorrt-rtx"}, "computes on a GPU"),
        ("cuda", {"execution_provider": "cpu"}, "cpu computes on a CPU, and this run has a GPU"),
        ("cpu", {"mode": "cudagraph"}, "cudagraph is an option of the provider cuda, and cpu computes"),
        ("cuda", {"dtype": "float32"}, "makes no model in float32 for cuda that loads"),
        ("cuda", {"quantization": "int4", "dtype": "float32"}, "no model in float32 for cuda beside"),
        ("cuda", {"quantization": "int8", "dtype": "bfloat16"}, "no model in bfloat16 for cuda beside"),
        ("cuda", {"quantization": "int8", "activations": "int8"}, "int8 is for CPUs, and cuda computes"),
        ("cpu", {"activations": "int8"}, "but no weights are quantized"),
        ("cuda", {"execution_provider": "nv-tensorrt-rtx", "quantization": "int8"}, "int8 is not made for nv-tensor"),
        ("cuda", {"execution_provider": "nv-tensorrt-rtx", "dtype": "float32"}, "no model in float32 for nv-tensorrt"),
    ],
)
def test_options_that_do_not_go_together(device: str, settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem) as caught:
        check(request(NANO, asked(**settings), device=device), resolve(NANO))
    assert caught.value.allowed


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"model_type": "gpt2", "n_embd": 64, "n_layer": 2, "n_head": 2, "n_positions": 256}, "is of the type gpt2"),
        ({"model_type": "opt", "ffn_dim": 96, "word_embed_proj_dim": 64}, "is of the type opt"),
        ({"rope_scaling": {"type": "linear", "factor": 2.0}}, "scales its positions in the way linear"),
        ({"rope_parameters": {"rope_type": "yarn", "factor": 2.0}}, "in the way yarn"),
        ({"quantization_config": {"quant_method": "awq"}}, r"is quantized already \(awq\)"),
    ],
)
def test_models_that_are_refused(tmp_path: Path, config: dict[str, Any], problem: str) -> None:
    with pytest.raises(ModelError, match=problem) as caught:
        check(request(NANO), source(tmp_path, **config))
    assert caught.value.remedy


@pytest.mark.parametrize("config", [
    {"intermediate_size": 320}, {"hidden_size": 320, "head_dim": 16}, {"head_dim": 80}, {"head_dim": 160},
    {"model_type": "phi3", "intermediate_size": 160}, {"model_type": "phi3", "head_dim": 40},
])  # fmt: skip
def test_a_matrix_as_wide_as_the_vocabulary_is_refused(tmp_path: Path, config: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match=r"as wide as its vocabulary \(320\)"):
        check(request(NANO), source(tmp_path, **config))


def test_a_gguf_file_is_refused(tmp_path: Path) -> None:
    from support.sample_gguf import write_sample

    write_sample(tmp_path / "model.gguf")
    with pytest.raises(ModelError, match="is a GGUF file"):
        check(request(NANO), resolve(str(tmp_path / "model.gguf")))


def test_workloads_that_are_refused(tmp_path: Path) -> None:
    within = Capacity(32, 100, 28)
    check(request(NANO, capacity=within), resolve(NANO))
    with pytest.raises(ConfigError, match="at most 32 sequences at a time, not 33"):
        check(request(NANO, capacity=Capacity(33, 100, 28)), resolve(NANO))
    windowed = source(tmp_path, model_type="mistral", sliding_window=128)
    check(request(NANO, capacity=within), windowed)
    assert recipe(request(NANO), windowed).options == {"windowed_kv_cache": "false"}
    with pytest.raises(ConfigError, match=r"come to 129 tokens; .* attends to 128"):
        check(request(NANO, capacity=Capacity(1, 100, 29)), windowed)


def test_graphs_are_captured_of_one_sequence_alone() -> None:
    engine = asked(dtype="float16", mode="cudagraph")
    check(request(NANO, engine, device="cuda", capacity=Capacity(1, 100, 28)), resolve(NANO))
    with pytest.raises(ConfigError, match="2, and ONNX Runtime GenAI captures graphs of one sequence at a time"):
        check(request(NANO, engine, device="cuda", capacity=Capacity(2, 100, 28)), resolve(NANO))
    check(request(NANO, asked(dtype="float16"), device="cuda", capacity=Capacity(2, 100, 28)), resolve(NANO))


def test_a_window_that_is_not_used_is_none(tmp_path: Path) -> None:
    model = source(tmp_path, model_type="qwen2", sliding_window=128, use_sliding_window=False)
    assert recipe(request(NANO), model).options == {}


def test_how_positions_are_scaled_is_read_where_either_version_of_transformers_writes_it() -> None:
    assert rope_type({}) == "default"
    assert rope_type({"rope_scaling": None, "rope_theta": 1e4}) == "default"
    assert rope_type({"rope_scaling": {"type": "linear"}}) == "linear"
    assert rope_type({"rope_scaling": {"rope_type": "llama3"}, "rope_parameters": {"rope_theta": 1.0}}) == "llama3"
    assert rope_type({"rope_parameters": {"rope_type": "default"}}) == "default"


@pytest.mark.parametrize(
    ("capabilities", "runs"),
    [(((8, 6),), True), (((8, 9),), True), (((12, 0),), True), (((12, 1),), True), (((9, 0), (8, 9)), True),
     (((9, 0),), False), (((8, 0),), False), (((10, 0),), False), (((7, 5),), False), ((), False)],
)  # fmt: skip
def test_tensorrt_for_rtx_is_refused_where_it_does_not_run(
    monkeypatch: pytest.MonkeyPatch, capabilities: tuple[tuple[int, int], ...], runs: bool
) -> None:
    found = tuple(Gpu(f"GPU {number}", f"GPU-{number}", each) for number, each in enumerate(capabilities))
    monkeypatch.setattr(gpus, "read", lambda: Driver("580.1", 13000, found) if found else None)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    wanted = request(NANO, asked(execution_provider="nv-tensorrt-rtx"), device="cuda")
    if runs:
        check(wanted, resolve(NANO))
        with pytest.raises(ConfigError, match="one sequence at a time"):
            check(replace(wanted, capacity=Capacity(2, 10, 10)), resolve(NANO))
        return
    with pytest.raises(InfertuiError, match=r"compute capability 8\.6, 8\.9, and 12\.0 or newer") as caught:
        check(wanted, resolve(NANO))
    assert isinstance(caught.value, EngineError)
    assert ("no GPU" if not found else "GPU 0") in caught.value.message


def test_a_library_for_cpus_is_told_where_a_gpu_is_to_compute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "versions", lambda: {"onnxruntime-genai": "0.18.0", "onnxruntime": "1.32.0"})
    loading.must_reach_gpus(Recipe("cpu", "fp32", "float32"))
    with pytest.raises(EngineError, match=r"for CPUs: onnxruntime-genai 0\.18\.0, onnxruntime 1\.32\.0") as caught:
        loading.must_reach_gpus(Recipe("cuda", "fp16", "float16"))
    assert "infertui[onnx-cuda]" in caught.value.remedy
    monkeypatch.setattr(loading, "versions", lambda: {"onnxruntime-genai-cuda": "0.18.0"})
    loading.must_reach_gpus(Recipe("cuda", "fp16", "float16"))
