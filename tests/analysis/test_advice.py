"""Whether what is advised can be done as written: each setting of a knob is given to the config, and to the engine's
own rules, for runs of every engine in every way that it can run.
"""

import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
from msgspec import json
from msgspec.structs import replace

from infertui.analysis.bottleneck import bottleneck
from infertui.config.engines.registry import SPECS
from infertui.config.schema import Config, DeviceConfig
from infertui.config.sources import load
from infertui.errors import InfertuiError
from infertui.measure.roofline import Limits
from infertui.models.resolve import resolve
from infertui.results.result import Result
from infertui.targets.engine.base import Capacity, EffectiveSettings, Loaded, LoadRequest
from infertui.targets.engine.onnxruntime_genai.asked import recipe
from infertui.targets.engine.tensorrt_llm.options import check, refuse_quantization

_KEPT = Path(__file__).parents[2] / "reports" / "h200" / "results.jsonl"
_SETTING = re.compile(r"(engine\.[\w.]+)=([-\w]+(?: or (?!as\b|a\b|more\b|larger\b)[-\w]+(?![\w.]*=))*)")
_GPU, _CPU = "cuda:0", "cpu"

LIMITS = {
    "memory": Limits(mbu=0.8, bandwidth=4e12, step_weights=2e9, step_kv=1e6),
    "KV cache": Limits(mbu=0.8, bandwidth=4e12, step_weights=1e6, step_kv=2e9),
    "compute": Limits(mbu=0.1, step_operations=9e11, step_s=1e-3, matrix_rate=1e15),
    "too much": Limits(mbu=1.5),
    "neither": Limits(mbu=0.1, step_operations=1e10, step_s=1e-3, matrix_rate=1e15),
    "unknown": Limits(),
}
WAYS: dict[str, list[dict[str, str]]] = {
    "transformers": [
        *({"engine.mode": mode} for mode in ("eager", "static", "compile", "cudagraph", "continuous")),
        *(
            {"engine.mode": "cudagraph", "engine.transformers.graph_step": step, "engine.quantization": word}
            for step, word in product(("model", "compiled"), ("int8", "int4", "fp8", "fp8-dynamic"))
        ),
        {"engine.mode": "cudagraph", "engine.transformers.graph_step": "fused"},
        {"engine.mode": "cudagraph", "engine.transformers.graph_step": "fused", "engine.quantization": "int8"},
        {
            "engine.mode": "cudagraph",
            "engine.transformers.graph_step": "compiled",
            "engine.transformers.tuning": "max-autotune",
        },
        {"engine.mode": "compile", "engine.transformers.tuning": "coordinate-descent"},
        {"engine.mode": "eager", "engine.attention": "flash_attention_2"},
        {"engine.mode": "eager", "engine.speculation": "prompt-lookup"},
        {"engine.mode": "eager", "engine.tensor_parallel": "2"},
        {"engine.mode": "static", "engine.tensor_parallel": "2"},
    ],
    "vllm": [
        {"engine.mode": "eager"},
        {"engine.mode": "compile"},
        {"engine.quantization": "fp8", "engine.speculation": "prompt-lookup"},
        {"engine.tensor_parallel": "2"},
    ],
    "tensorrt-llm": [
        {"engine.mode": "eager"},
        {"engine.mode": "cudagraph"},
        {"engine.tensorrt_llm.backend": "engine"},
        {"engine.tensorrt_llm.kv_cache_dtype": "fp8"},
    ],
    "llama-cpp": [
        {},
        {"engine.dtype": "float16"},
        {"engine.llama_cpp.n_gpu_layers": "3"},
        {"engine.llama_cpp.type_k": "q8_0"},
        {"model.id": "/models/x.gguf"},
    ],
    "onnxruntime-genai": [
        {},
        {"engine.dtype": "bfloat16"},
        {"engine.mode": "cudagraph"},
        {"engine.quantization": "int8"},
        {"engine.quantization": "int4", "engine.dtype": "bfloat16"},
    ],
    "openvino": [{}, {"engine.openvino.kv_cache": "u8"}, {"model.id": "/models/x.gguf"}],
}
SHAPES = [
    pytest.param(engine, way, id=f"{engine} {' '.join(way.values())}") for engine, ways in WAYS.items() for way in ways
]


def config_of(engine: str, way: dict[str, str], batch: int, temperature: float) -> dict[str, str]:
    common = {"workload.batch_size": str(batch), "workload.temperature": str(temperature)}
    return {"engine.name": engine, **common, **way}


def loaded(sets: dict[str, str]) -> Config:
    return load(None, environ={}, sets=[f"{key}={value}" for key, value in sets.items()], flags={}).config


def run(config: Config, device: str, busy: float | None) -> Result:
    """A kept run as though it had been of that config; each option in force as asked for."""
    kept = json.decode(_KEPT.read_bytes().splitlines()[0], type=Result)
    asked = config.engine
    own = SPECS[asked.name].common
    common = {
        "mode": asked.mode if asked.mode != "auto" else next(iter(own.get("mode", ("",)))),
        "attention": asked.attention if asked.attention != "auto" else "sdpa",
        "quantization": "none" if asked.quantization == "auto" else asked.quantization,
        "speculation": asked.speculation,
    }
    if asked.name == "tensorrt-llm" and asked.tensorrt_llm.backend == "engine":
        common["mode"] = "engine"
    layers = asked.llama_cpp.n_gpu_layers
    told = Loaded(
        engine=asked.name,
        versions={},
        paths={},
        device=device,
        device_name="NVIDIA H200",
        device_uuid="",
        dtype="bfloat16",
        attention=common["attention"],
        parameters=1,
        weight_bytes=1,
        vocabulary=1,
        special_ids=(),
        max_positions=None,
        random_weights=False,
        memory_policy="",
        threads=1,
        offloaded_layers=f"{layers} of 23" if layers >= 0 and asked.name == "llama-cpp" else "",
        details={"model_class": "LlamaForCausalLM"},
    )
    step: dict[str, str] = {"graph_step": asked.transformers.graph_step} if common["mode"] == "cudagraph" else {}
    assert kept.device
    return replace(
        kept,
        config=config,
        loaded=told,
        effective=EffectiveSettings(settings=common, facts=step),
        device=replace(kept.device, samples=10, utilization_mean=busy, cpu_mean=10.0),
        ceilings=None,
    )


def settings(next_step: str) -> Iterator[dict[str, str]]:
    """What a knob says to set at once: `A=x or y with B=z, or C=w` are three."""
    for one in re.split(r"; |, or |, |: | \(", next_step):
        found = _SETTING.findall(one)
        for words in product(*(value.split(" or ") for _, value in found)):
            more = {"workload.batch_size": "+"} if "a larger workload.batch_size" in one else {}
            yield more | dict(zip((key for key, _ in found), words, strict=True))


def refused(config: Config, device: str) -> str:
    """Why the engine would not take it: rules of its own, and what they are of where only its library knows."""
    asked, work = config.engine, config.workload
    if asked.name == "tensorrt-llm":
        try:
            check(asked, Capacity(work.batch_size, 8, 16))
            refuse_quantization(asked.quantization, "none")
        except InfertuiError as error:
            return error.message
        return ""
    if asked.name == "onnxruntime-genai":
        try:
            recipe(LoadRequest(config.model, asked, DeviceConfig(name=device)), resolve("synthetic:nano"))
        except InfertuiError as error:
            return error.message
        return ""
    if asked.name in ("llama-cpp", "openvino") and asked.quantization != "auto":
        if config.model.id.endswith(".gguf"):
            return "the file is what it is"
        return "dtype beside it" if asked.name == "llama-cpp" and asked.dtype not in ("auto", "float32") else ""
    if asked.name != "transformers":
        return ""
    step, mode, word = asked.transformers.graph_step, asked.mode, asked.quantization
    alone = work.batch_size == 1 and work.temperature == 0
    rules = {
        "nothing is captured": step != "model" and mode != "cudagraph",
        "nothing is compiled": asked.transformers.tuning != "none" and mode != "compile" and step != "compiled",
        "drafts are eager's alone": asked.speculation != "none" and mode != "eager",
        "drafts are of one sequence": asked.speculation != "none" and work.batch_size > 1,
        "a graph needs a mask": mode == "cudagraph" and "flash" in asked.attention,
        "ranks run eager or static": asked.tensor_parallel > 1 and mode not in ("eager", "static"),
        "ranks hold plain weights": asked.tensor_parallel > 1 and word != "auto",
        "fused kernels read a scale a row": step == "fused" and word not in ("auto", "int8", "fp8"),
        "fused kernels read those for one": step == "fused" and word != "auto" and not alone,
        "no CPU has it": word == "fp8-dynamic" and device == "cpu",
    }
    return next((why for why, true in rules.items() if true), "")


@pytest.mark.parametrize(("engine", "way"), SHAPES)
def test_what_is_advised_is_taken(engine: str, way: dict[str, str]) -> None:
    said = 0
    devices = [device for device, kind in ((_GPU, "cuda"), (_CPU, "cpu")) if kind in SPECS[engine].devices]
    for device, batch, temperature, busy in product(devices, (1, 8), (0.0, 0.7), (10.0, 70.0, 99.0)):
        sets = config_of(engine, way, batch, temperature)
        config = loaded(sets)
        if refused(config, device):
            continue
        result = run(config, device, busy)
        assert result.loaded
        for name, limits in LIMITS.items():
            next_step = bottleneck(result, result.loaded, limits).next_step
            for tried in settings(next_step):
                if not tried:
                    continue
                said += 1
                after = sets | tried
                if tried.get("workload.batch_size"):
                    after["workload.batch_size"] = str(batch * 2)
                changed = loaded(after)  # the config's own rules
                assert not refused(changed, device), f"{name}: {next_step}: {tried}: {refused(changed, device)}"
                assert changed != config, f"{name}: {next_step} is so"
            if "engine.tensor_parallel over more" in next_step:
                assert not refused(loaded(sets | {"engine.tensor_parallel": "4"}), device), next_step
    assert said


def test_a_stand_in_is_not_advised_by_keys_that_do_not_reach_it() -> None:
    config = loaded({"engine.name": "transformers", "engine.mode": "eager"})
    result = run(config, _GPU, 10.0)
    assert result.loaded
    assert "engine.mode=cudagraph" in bottleneck(result, result.loaded, LIMITS["neither"]).next_step
    asked = replace(config, engine=replace(config.engine, name="vllm"))
    next_step = bottleneck(replace(result, config=asked), result.loaded, LIMITS["neither"]).next_step
    assert next_step == "a larger workload.batch_size, so that each launch does more"


def test_calibrating_again_is_not_advised_where_it_tells_nothing() -> None:
    result = run(loaded({}), _GPU, 99.0)
    assert result.loaded
    assert bottleneck(result, result.loaded, LIMITS["unknown"]).next_step == "infertui calibrate --device cuda:0"
    line = next(one for one in _kept() if one.ceilings is not None)
    known = replace(result, ceilings=line.ceilings)
    assert bottleneck(known, result.loaded, LIMITS["unknown"]).next_step == ""


def _kept() -> Iterator[Result]:
    for path in sorted(_KEPT.parents[1].glob("*/results.jsonl")):
        for line in path.read_bytes().splitlines():
            yield json.decode(line, type=Result)
