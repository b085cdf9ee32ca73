"""What servers are told of a config, held against their documentation by hand."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from support.sample_gguf import write_sample

from infertui.config.schema import Config
from infertui.config.sources import load
from infertui.errors import ConfigError, ModelError
from infertui.targets.endpoint.servers import own_arguments, server_arguments, serving_command

ENGINES = {
    "vllm": "vllm", "llama-server": "llama-cpp", "sglang": "transformers", "trtllm": "tensorrt-llm",
    "transformers": "transformers",
}  # fmt: skip


@pytest.fixture
def models(tmp_path: Path) -> Mapping[str, str]:
    """A directory with a model, and a GGUF file: only what is read of them to find them."""
    folder = tmp_path / "model"
    folder.mkdir()
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 64, "hidden_size": 8,
        "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": 64,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    return {"folder": str(folder), "gguf": str(write_sample(tmp_path / "model.gguf"))}


def told(serve: str, models: Mapping[str, str], **values: Any) -> tuple[str, dict[str, Any], Mapping[str, str]]:
    """The arguments as a line, the settings, and the variables. `engine__dtype` stands for engine.dtype."""
    made = server_arguments(config_of(serve, models, **values), port=8123)
    return " ".join(made.arguments), json.loads(made.settings or "{}"), made.variables


def config_of(serve: str, models: Mapping[str, str], **values: Any) -> Config:
    keys = {
        "target.kind": "endpoint", "target.serve": serve, "engine.name": ENGINES[serve],
        "model.id": models["gguf" if serve == "llama-server" else "folder"],
    }  # fmt: skip
    keys |= {name.replace("__", "."): value for name, value in values.items()}
    return load(None, environ={}, flags={key: (key, value) for key, value in keys.items()}).config


def test_vllm(models: Mapping[str, str]) -> None:
    folder = models["folder"]
    line, settings, variables = told("vllm", models)
    assert line == f"{folder} --host 127.0.0.1 --port 8123 --served-model-name {folder}"
    assert not settings
    assert variables["VLLM_NO_USAGE_STATS"] == "1"
    line, _, variables = told(
        "vllm", models, target__model="m", engine__dtype="bfloat16", engine__mode="eager", engine__tensor_parallel=2,
        engine__quantization="fp8", engine__vllm__kv_cache_mib=1024, engine__vllm__kv_cache_dtype="fp8",
        engine__vllm__max_num_batched_tokens=4096, engine__speculation="prompt-lookup", engine__draft_tokens=5,
        device__threads=3, target__serve_args="--max-num-seqs 64 --x 'a b'",
    )  # fmt: skip
    assert line == (
        f"{folder} --host 127.0.0.1 --port 8123 --served-model-name m --dtype bfloat16 --enforce-eager "
        "--tensor-parallel-size 2 --quantization fp8 --kv-cache-memory-bytes 1073741824 --kv-cache-dtype fp8 "
        '--max-num-batched-tokens 4096 --speculative-config {"method": "ngram", "num_speculative_tokens": 5, '
        '"prompt_lookup_max": 3, "prompt_lookup_min": 1} --max-num-seqs 64 --x a b'
    )
    assert variables["OMP_NUM_THREADS"] == "3"


def test_llama_server(models: Mapping[str, str]) -> None:
    gguf = models["gguf"]
    plain = "--batch-size 2048 --ubatch-size 512 --flash-attn on --cache-type-k f16 --cache-type-v f16 --metrics"
    line, _, _ = told("llama-server", models)
    assert line == f"--model {gguf} --host 127.0.0.1 --port 8123 --alias {gguf} --n-gpu-layers all {plain}"
    line, _, _ = told(
        "llama-server", models, device__name="cpu", device__threads=2, load__concurrency=4,
        engine__llama_cpp__n_ctx=8192, engine__llama_cpp__flash_attention=False, engine__llama_cpp__type_k="q8_0",
    )  # fmt: skip
    assert line == (
        f"--model {gguf} --host 127.0.0.1 --port 8123 --alias {gguf} --device none --n-gpu-layers 0 --parallel 4 "
        "--ctx-size 8192 --batch-size 2048 --ubatch-size 512 --flash-attn off --cache-type-k q8_0 --cache-type-v f16 "
        "--metrics --threads 2"
    )


def test_sglang(models: Mapping[str, str]) -> None:
    folder = models["folder"]
    line, _, _ = told("sglang", models, engine__dtype="float16", engine__mode="eager", engine__tensor_parallel=2)
    assert line == (
        f"--model-path {folder} --host 127.0.0.1 --port 8123 --served-model-name {folder} --dtype float16 --tp-size 2 "
        "--disable-cuda-graph --enable-metrics"
    )


def test_trtllm(models: Mapping[str, str]) -> None:
    folder = models["folder"]
    line, settings, _ = told("trtllm", models)
    assert line == f"{folder} --host 127.0.0.1 --port 8123 --backend pytorch"
    assert not settings
    line, settings, _ = told(
        "trtllm", models, engine__dtype="bfloat16", engine__mode="eager", engine__tensor_parallel=4,
        engine__tensorrt_llm__max_num_tokens=8192, engine__tensorrt_llm__chunked_prefill=True,
        engine__tensorrt_llm__kv_cache_dtype="fp8", engine__tensorrt_llm__overlap_scheduler="off",
    )  # fmt: skip
    assert line == (
        f"{folder} --host 127.0.0.1 --port 8123 --backend pytorch --tp_size 4 --max_num_tokens 8192 "
        "--enable_chunked_prefill"
    )
    assert settings == {
        "dtype": "bfloat16", "cuda_graph_config": None, "kv_cache_config": {"dtype": "fp8"},
        "disable_overlap_scheduler": True,
    }  # fmt: skip


def test_transformers(models: Mapping[str, str]) -> None:
    folder = models["folder"]
    line, _, variables = told(
        "transformers", models, engine__mode="continuous", engine__attention="sdpa", device__name="cpu",
        model__trust_remote_code=True,
    )  # fmt: skip
    assert line == (
        f"{folder} --host 127.0.0.1 --port 8123 --attn-implementation sdpa --continuous-batching --trust-remote-code "
        "--device cpu"
    )
    assert variables["HF_HUB_OFFLINE"] == "1"


@pytest.mark.parametrize(
    ("serve", "key", "value"),
    [
        ("vllm", "engine.vllm.sizes", "workload"),
        ("vllm", "engine.vllm.engine_core", "in-process"),
        ("vllm", "engine.vllm.detokenize", False),
        ("vllm", "engine.quantization", "int8"),
        ("trtllm", "engine.quantization", "fp8"),
        ("trtllm", "engine.tensorrt_llm.backend", "engine"),
        ("trtllm", "engine.speculation", "prompt-lookup"),
        ("transformers", "engine.mode", "cudagraph"),
        ("transformers", "engine.quantization", "int8"),
        ("transformers", "engine.transformers.graph_step", "fused"),
        ("sglang", "engine.attention", "sdpa"),
        ("llama-server", "engine.quantization", "q8_0"),
        ("llama-server", "engine.dtype", "float16"),
    ],
)
def test_what_has_no_argument_is_refused_by_name(
    models: Mapping[str, str], serve: str, key: str, value: object
) -> None:
    with pytest.raises(ConfigError) as error:
        told(serve, models, **{key.replace(".", "__"): value})
    assert error.value.path == key
    assert "target.serve_args" in error.value.remedy


def test_what_a_server_cannot_serve_is_refused(models: Mapping[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"engine\.name = vllm"):
        told("vllm", models, engine__name="transformers")
    with pytest.raises(ConfigError, match="no tokenizer"):
        told("vllm", models, model__id="synthetic:nano")
    with pytest.raises(ConfigError, match="is a GGUF file"):
        told("sglang", models, model__id=models["gguf"])
    with pytest.raises(ConfigError, match="is no GGUF file"):
        told("llama-server", models, model__id=models["folder"])
    with pytest.raises(ModelError):
        told("vllm", models, model__id="/nowhere/at/all")


@pytest.mark.parametrize("text", ["'open", "--port 80", "--host=0.0.0.0", "x 'a\0b'"])
def test_own_arguments_that_cannot_be(text: str) -> None:
    with pytest.raises(ConfigError, match=r"target\.serve_args"):
        own_arguments(text)


def test_the_command_that_serves_what_an_engine_ran(models: Mapping[str, str]) -> None:
    """By hand, of the programs' documentation: as one types it, the batch of the run as sequences at once."""

    def command(engine: str, **values: Any) -> str:
        keys = {"engine.name": engine, "model.id": models["gguf" if engine == "llama-cpp" else "folder"]}
        keys |= {name.replace("__", "."): value for name, value in values.items()}
        return serving_command(load(None, environ={}, flags={key: (key, value) for key, value in keys.items()}).config)

    folder = models["folder"]
    assert command("vllm", engine__dtype="bfloat16") == (
        f"vllm serve {folder} --host 127.0.0.1 --port 8000 --served-model-name {folder} --dtype bfloat16"
    )
    line = command("llama-cpp", workload__batch_size=4, engine__llama_cpp__n_gpu_layers=7, device__name="cuda:0")
    assert line.startswith(f"llama-server --model {models['gguf']} ")
    assert " --parallel 4 " in line
    assert " --n-gpu-layers 7 " in line
    line = command("tensorrt-llm", engine__dtype="float16", device__name="cuda:0")
    assert line.startswith(f"trtllm-serve serve {folder} ")
    assert line.endswith("""--extra_llm_api_options <(echo '{"dtype": "float16"}')""")
    assert command("transformers").startswith(f"python -m transformers.cli.transformers serve {folder} ")
    assert command("openvino") == ""  # no server of its own
    assert command("vllm", model__id="synthetic:nano") == ""  # no tokenizer
    assert command("vllm", model__id="/nowhere/at/all") == ""
    assert command("transformers", engine__speculation="prompt-lookup") == ""  # no argument for it
