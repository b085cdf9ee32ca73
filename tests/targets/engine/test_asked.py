"""What engines are known to refuse is told from the request and the files alone, whether they are installed or not."""

from pathlib import Path

import pytest
from support.runs import simulated
from support.sample_gguf import write_sample

from infertui.errors import InfertuiError
from infertui.models.resolve import resolve
from infertui.runner.execution.loading import Choice, load_request
from infertui.targets.engine.base import Probe, check


def ask(model: str, **values: object) -> None:
    config = simulated(model__id=f"synthetic:{model}", workload__input_len=8, workload__output_len=8, **values)
    choice = Choice(config.engine, Probe(config.engine.name, available=True, reason=""))
    check(load_request(config, choice, ()), resolve(config.model.id))


@pytest.mark.parametrize(
    ("engine", "model", "values", "said"),
    [
        ("llama-cpp", "nano", {"engine.dtype": "bfloat16", "engine.quantization": "q8_0"}, "else is float32"),
        ("llama-cpp", "nano", {"workload.batch_size": 4, "engine.llama_cpp.n_batch": 2}, "fewer than the 4 sequences"),
        ("llama-cpp", "nano", {"engine.llama_cpp.n_ctx": 4}, "4 positions are too few"),
        (
            "llama-cpp",
            "nano",
            {"engine.llama_cpp.type_v": "q8_0", "engine.llama_cpp.flash_attention": False},
            "need flash attention",
        ),
        ("openvino", "gpt2-124m", {"engine.quantization": "q8_0"}, "not of gpt2"),
        ("transformers", "nano", {"engine.speculation": "prompt-lookup"}, "has random weights"),
        ("transformers", "nano", {"engine.transformers.graph_step": "compiled"}, "nothing is captured"),
        ("transformers", "nano", {"engine.transformers.tuning": "max-autotune"}, "inductor compiles nothing"),
        ("transformers", "nano", {"engine.mode": "cudagraph", "device.name": "cpu"}, "needs a CUDA device"),
        ("transformers", "nano", {"engine.tensor_parallel": 2, "engine.mode": "compile"}, "engine.mode = compile"),
        ("transformers", "nano", {"engine.tensor_parallel": 2, "engine.quantization": "int8"}, "does not go with"),
        ("tensorrt-llm", "nano", {"engine.tensorrt_llm.engine_dir": "/x"}, "is for backend = engine"),
    ],
)
def test_it_is_refused_beforehand(engine: str, model: str, values: dict[str, object], said: str) -> None:
    with pytest.raises(InfertuiError) as caught:
        ask(model, **{"engine.name": engine, **values})
    assert said in caught.value.message


@pytest.mark.parametrize("engine", ["llama-cpp", "openvino", "transformers", "tensorrt-llm", "vllm", "simulator"])
def test_what_may_run_is_let_through(engine: str) -> None:
    ask("nano", **{"engine.name": engine})


def test_a_gguf_file_is_not_for_transformers(tmp_path: Path) -> None:
    file = write_sample(tmp_path / "tiny.gguf")
    config = simulated(model__id=str(file), engine__name="transformers", workload__input_len=8)
    choice = Choice(config.engine, Probe(config.engine.name, available=True, reason=""))
    with pytest.raises(InfertuiError, match="GGUF file"):
        check(load_request(config, choice, ()), resolve(str(file)))
