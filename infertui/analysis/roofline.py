"""What a run asked of its device by the arithmetic of its model: bytes of a step, operations of prefill and step.

What is known of devices by their name: data/hardware.toml.
"""

import tomllib
from collections.abc import Mapping
from functools import cache

import msgspec
from msgspec import Struct

from infertui.measure.roofline import COPY, Arithmetic, DecodeReads, DevicePeaks, Experts, mean_attended
from infertui.metrics.reads import in_force
from infertui.models.memory.kv_cache import bytes_per_token
from infertui.models.shapes import ModelShape, dtype_bytes
from infertui.paths import data
from infertui.results.result import Result
from infertui.targets.engine.base import Loaded

# Bytes a parameter of formats that hold all weights alike; a block of llama.cpp's has 32 of them and their scale.
_UNIFORM = {"f32": 4.0, "f16": 2.0, "bf16": 2.0, "q8_0": 34 / 32}
_KV_FORMATS = {"f32": 4.0, "f16": 2.0, "bf16": 2.0, "q8_0": 34 / 32}
_NEAR = 0.02
_NO_KV = "the bytes of a token in the KV cache are not known"


class Work(Struct, frozen=True):
    """What was asked of the device, or of all GPUs together; None is not known, and `reasons` says why.

    `step_s` and `prefill_s` are the means that it took; `format` is that of the matrix products.
    """

    devices: int
    step_s: float | None = None
    reads: DecodeReads | None = None
    step_operations: float | None = None
    prefill_s: float | None = None
    prefill_operations: float | None = None
    format: str = ""
    reasons: dict[str, str] = {}


def work_of(result: Result, loaded: Loaded, shape: ModelShape | None) -> Work:
    """The work of a run, by what was loaded and the shape of the model where that is known."""
    summary, batch = result.summary, result.setup.batch_size
    good = summary.good
    devices = _devices(result)
    if not good or batch is None or summary.prompt_tokens is None or summary.output_tokens is None:
        return Work(devices, reasons={"mbu": "nothing was measured", "mfu": "nothing was measured"})
    prompt, output = summary.prompt_tokens / good, summary.output_tokens / good
    reasons: dict[str, str] = {}
    reads: DecodeReads | None = None
    if why := _not_stepwise(result):
        reasons["mbu"] = why
    else:
        found = _reads(result, loaded, shape, prompt, output)
        reads = found if isinstance(found, DecodeReads) else None
        if isinstance(found, str):
            reasons["mbu"] = found
    arithmetic = _arithmetic(shape)
    kind, no_format = _format(result, loaded)
    prefill_s = _prefill_s(result)
    if arithmetic is None:
        reasons["mfu"] = "the shape of the model is not known"
    elif no_format:
        reasons["mfu"] = no_format
    elif prefill_s is None:
        reasons["mfu"] = "the time to the first token is not known"
    return Work(
        devices,
        step_s=summary.tpot.mean if summary.tpot and not _not_stepwise(result) else None,
        reads=reads,
        step_operations=batch * arithmetic.step(prompt, output) if arithmetic else None,
        prefill_s=prefill_s,
        prefill_operations=batch * arithmetic.prefill(prompt) if arithmetic else None,
        format=kind,
        reasons=reasons,
    )


def _devices(result: Result) -> int:
    """GPUs over which each layer is divided."""
    told = in_force(result, "tensor_parallel")
    if told.isdecimal() and len(told) < 3 and 0 < int(told) <= 64:
        return int(told)
    return max(1, result.setup.tensor_parallel or 1)


def _not_stepwise(result: Result) -> str:
    """Why a token's time is not that of a decode step; empty where it is."""
    summary = result.summary
    if summary.tpot is None:
        return "the time per token is not known"
    several = summary.itl is not None and summary.itl.tokens_per_step != 1
    told = in_force(result, "speculation") or result.setup.speculation or ""
    if several or told not in ("", "none"):
        return "with speculation a step brings several tokens, and a second model may be read"
    return ""


def _prefill_s(result: Result) -> float | None:
    """Mean time until every sequence of a batch had its first token.

    Results of before that was kept have the time to first token alone: where several sequences may have been prefilled
    one after another, the longest is on the safe side.
    """
    summary = result.summary
    if summary.prefill is not None or summary.ttft is None:
        return summary.prefill
    return summary.ttft.mean if result.setup.batch_size == 1 else summary.ttft.maximum


def _arithmetic(shape: ModelShape | None) -> Arithmetic | None:
    if shape is None or not shape.matrix_parameters:
        return None
    return Arithmetic(
        layer_parameters=shape.matrix_parameters,
        head_parameters=shape.vocab * shape.hidden,
        layers=shape.layers,
        attention_width=shape.heads * shape.head_dim,
        sliding_layers=shape.sliding_layers,
        window=shape.sliding_window,
    )


def _format(result: Result, loaded: Loaded) -> tuple[str, str]:
    """The number format of the matrix products, or why it is not known.

    Transformers' quantization is of weights alone, which are multiplied in the format of the activations; other engines
    may multiply quantized weights as they are.
    """
    quantized = in_force(result, "quantization")
    if loaded.engine == "transformers" and quantized != "fp8-dynamic":
        return loaded.dtype, ""
    if quantized == "fp8-dynamic":
        return "float8", ""
    if loaded.engine == "llama-cpp":
        return "", "which number format llama.cpp multiplies in is not known"
    if quantized not in ("", "none"):
        return "", f"which number format {loaded.engine} multiplies {quantized} weights in is not known"
    return loaded.dtype, ""


def _reads(result: Result, loaded: Loaded, shape: ModelShape | None, prompt: float, output: float) -> DecodeReads | str:
    """What a decode step reads, or why that is not known."""
    batch = result.setup.batch_size or 1
    on_gpu, _, layers = loaded.offloaded_layers.partition(" of ")
    if on_gpu != layers and loaded.device != "cpu":
        return f"{loaded.offloaded_layers} layers are on the GPU: weights are read from two memories"
    weights = _weights(result, loaded, shape)
    if weights is None or weights <= 0:
        return "what a step reads of the weights is not known"
    if shape is None:
        if loaded.kv_token_bytes is None:
            return _NO_KV
        return DecodeReads(weights, loaded.kv_token_bytes, batch, mean_attended(prompt, output))
    if shape.cache is None:
        return _NO_KV  # what older results kept of such a model was that of a Llama
    told = _kv_sizes(result, loaded)
    if told is None and loaded.kv_token_bytes is None:
        return "the number format of the KV cache is not known"
    sizes = told or (1.0, 1.0)
    each = bytes_per_token(shape.cache, *sizes)
    if shape.experts:
        experts = Experts(shape.experts, shape.active_experts, shape.parameters, shape.active_parameters)
        weights *= experts.share_read(batch)
    read = sum(group.token_bytes(*sizes) * mean_attended(prompt, output, group.window) for group in shape.cache)
    state = sum(group.state_bytes(sizes[0]) for group in shape.cache)
    return DecodeReads(
        weights=weights,
        kv_per_token=loaded.kv_token_bytes or round(each),
        batch_size=batch,
        context=read / each if each else mean_attended(prompt, output),
        state=round(state),
    )


def _weights(result: Result, loaded: Loaded, shape: ModelShape | None) -> float | None:
    """Bytes of the weights that a step reads, of all GPUs together: all but the tables that it looks rows up in."""
    total, devices = loaded.weight_bytes, _devices(result)
    if total is None:
        return None
    if devices > 1:
        each = _each_rank(result, loaded)
        if loaded.engine == "vllm":
            pass  # it counts all of them
        elif len(each) == devices:
            total = sum(each)
        else:
            return None
    if loaded.lookup_bytes is not None:
        return float(total - devices * loaded.lookup_bytes)
    if shape is None or not loaded.parameters:
        return None
    # Where every weight takes the same, the tables' share of the parameters is their share of the bytes.
    # That leaves in GPT-2's table of positions, 0.6 % of its weights.
    told = in_force(result, "quantization")
    uniform = _UNIFORM.get(told)
    if told in ("", "none"):
        uniform = float(dtype_bytes(loaded.dtype)) if loaded.dtype in ("float32", "float16", "bfloat16") else None
    if uniform is None or abs(total / loaded.parameters - uniform) > _NEAR * uniform:
        return None
    return total - (0 if shape.tied_embeddings else shape.vocab * shape.hidden * uniform)


def _each_rank(result: Result, loaded: Loaded) -> list[int]:
    """Bytes that each of Transformers' processes holds of a model divided over GPUs."""
    facts: Mapping[str, str] = result.effective.facts if result.effective else {}
    told = facts.get("weight_bytes_per_rank") or loaded.details.get("weight_bytes_per_rank", "")
    parts = told.split(", ")
    return [int(part) for part in parts] if all(part.isdecimal() and len(part) < 20 for part in parts) else []


def _kv_sizes(result: Result, loaded: Loaded) -> tuple[float, float] | None:
    """Bytes of a number of the keys and of the values, where the engine says in which format it keeps them."""
    if loaded.engine == "llama-cpp":
        keys, values = (_KV_FORMATS.get(in_force(result, f"llama_cpp.type_{kind}")) for kind in "kv")
        return None if keys is None or values is None else (keys, values)
    kept = loaded.dtype if loaded.engine == "transformers" else ""
    if loaded.engine == "vllm":
        told = in_force(result, "vllm.kv_cache_dtype")
        kept = {"auto": loaded.dtype, "fp8": "float8_e4m3fn"}.get(told, "")
    if kept not in ("float32", "float16", "bfloat16", "float8_e4m3fn"):
        return None
    return float(dtype_bytes(kept)), float(dtype_bytes(kept))


class ListedDevice(Struct, frozen=True):
    """A line of data/hardware.toml. Bytes per second, and operations per second of dense matrix products."""

    name: str
    memory_bandwidth: float
    source: str
    matrix_rates: dict[str, float] = {}
    copied: float | None = None
    measured: str = ""

    def datasheet(self, what: str) -> float | None:
        """The datasheet's figure for the copy or a number format."""
        return self.memory_bandwidth if what == COPY else self.matrix_rates.get(what)


@cache
def devices() -> tuple[ListedDevice, ...]:
    """The devices that are known."""
    table = tomllib.loads((data() / "hardware.toml").read_text(encoding="utf-8"))
    return msgspec.convert(table["device"], tuple[ListedDevice, ...])


def device_named(name: str) -> ListedDevice | None:
    """The device of which that is the driver's name."""
    return next((device for device in devices() if device.name == name), None)


class Reached(Struct, frozen=True):
    """A figure of a calibration beside the datasheet's. None is not available; `missing` says why it was not measured.

    The copy is in bytes per second, read plus written; products are in operations per second.
    """

    what: str
    measured: float | None
    datasheet: float | None
    share: float | None
    spread: float | None = None
    size: str = ""
    missing: str = ""


def reached(ceilings: DevicePeaks) -> tuple[Reached, ...]:
    """Every figure that was measured or tried, the copy first."""
    device = device_named(ceilings.device)
    measured: dict[str, float] = {COPY: ceilings.copy_bandwidth, **ceilings.matrix_rates}
    rows = []
    for what in dict.fromkeys((*measured, *ceilings.reasons)):
        value, sheet = measured.get(what), device.datasheet(what) if device else None
        rows.append(
            Reached(
                what,
                measured=value,
                datasheet=sheet,
                share=value / sheet if value is not None and sheet else None,
                spread=ceilings.spreads.get(what),
                size=ceilings.sizes.get(what, ""),
                missing=ceilings.reasons.get(what, ""),
            )
        )
    return tuple(rows)
