"""What `infertui models show` says: a model's shape, what it takes, and whether a workload would fit."""

import os
from collections.abc import Iterator
from typing import Any, Literal

from msgspec import Struct

from infertui.config.schema import Config, Dtype, EngineConfig
from infertui.errors import ConfigError
from infertui.models.memory.estimate import DeviceKind, MemoryEstimate, check_positions
from infertui.models.memory.of_engine import Task, needed
from infertui.models.remedies import ways_to_fit
from infertui.models.resolve import ModelSource, resolve
from infertui.models.shapes import kv_bytes_per_token, weight_bytes
from infertui.text import clean
from infertui.units import format_about, format_bytes, format_count

_DTYPES: tuple[Dtype, ...] = ("float32", "float16", "bfloat16")


class Foreseen(Struct, frozen=True):
    """A model, a workload, and what that needs of a device; None is not known."""

    source: ModelSource
    engine: EngineConfig
    task: Task
    draft: ModelSource | None
    where: str
    kind: DeviceKind
    free: int | None
    needed: MemoryEstimate | None
    problem: str


def foreseen(config: Config, device: Literal["auto", "cpu", "cuda"]) -> Foreseen:
    """What is known of the model, engine and workload of a config. Raises ModelError."""
    source = resolve(config.model.id, config.model.revision)
    workload, engine = config.workload, config.engine
    task = Task(workload.batch_size, workload.input_len, workload.output_len)
    drafts = engine.speculation == "draft-model" and engine.draft_model
    draft = resolve(engine.draft_model) if drafts else None
    where, kind, free = _free_memory(device)
    found = needed(source, engine, kind, task, draft=draft)
    problem = _too_long(source, task.input_len, task.output_len)
    return Foreseen(source, engine, task, draft, where, kind, free, found, problem)


def lines(found: Foreseen) -> Iterator[str]:
    """It as text."""
    task = found.task
    yield from _description(found.source)
    yield ""
    yield (
        f"Memory for batch {task.batch_size}, {task.input_len} prompt and {task.output_len} output tokens, "
        f"on {found.where}:"
    )
    if found.needed is None:
        yield f"  not known: what {found.source.shape.architecture} takes and keeps is not known"
    else:
        for line in found.needed.explain(found.free):
            yield f"  {line}"
        if found.free is None:
            yield "  how much is free is not available"
        elif not found.needed.fits(found.free):
            ways = ways_to_fit(found.source, found.engine, found.kind, task, found.free, draft=found.draft)
            yield from (f"  would fit with {way}" for way in ways)
    if found.problem:
        yield f"  {found.problem}"


def _description(source: ModelSource) -> Iterator[str]:
    shape = source.shape
    facts = {
        "architecture": f"{shape.architecture}: {shape.layers} layers, hidden {shape.hidden}, MLP {shape.intermediate}",
        "attention": f"{shape.heads} heads of {shape.head_dim}, {shape.kv_heads} KV heads",
        "vocabulary": f"{shape.vocab}, {'tied' if shape.tied_embeddings else 'separate'} output embeddings",
        "positions": str(shape.max_positions or "no limit named"),
        "parameters": f"{shape.parameters:,} ({format_count(shape.parameters)})"
        if shape.exact
        else format_about(shape.parameters),
        "checkpoint": shape.dtype or "dtype not named",
    }
    if shape.sliding_layers:
        facts["attention"] += f"; {shape.sliding_layers} layers within {shape.sliding_window} tokens"
    if shape.told_by:
        facts["told by"] = shape.told_by
    if shape.experts:
        facts["experts"] = f"{shape.experts}, {shape.active_experts} active per token"
        facts["parameters"] += f", {format_count(shape.active_parameters)} active"
    if shape.quantization:
        facts["checkpoint"] += f", quantized ({shape.quantization})"
    if source.weights_bytes_on_disk:
        facts["checkpoint"] += f", {format_bytes(source.weights_bytes_on_disk)} of weights on disk"
    if source.revision:
        facts["revision"] = source.revision
    facts["path"] = clean(str(source.path))
    yield source.label
    for name, fact in facts.items():
        yield f"  {name:<13} {fact}"
    yield ""
    yield f"  {'dtype':<13} {'weights':>9}  KV cache per token"
    for dtype in _DTYPES:
        weights, cache = weight_bytes(shape, dtype), kv_bytes_per_token(shape, dtype)
        yield f"  {dtype:<13} {format_bytes(weights):>9}  {'not known' if cache is None else format_bytes(cache)}"


def document(found: Foreseen) -> dict[str, Any]:
    """It as one JSON document."""
    source, needed, free = found.source, found.needed, found.free
    return {
        "id": source.id,
        "kind": source.kind,
        "path": str(source.path),
        "revision": source.revision,
        "weights_bytes_on_disk": source.weights_bytes_on_disk,
        "shape": source.shape,
        "weight_bytes": {dtype: weight_bytes(source.shape, dtype) for dtype in _DTYPES},
        "kv_bytes_per_token": {dtype: kv_bytes_per_token(source.shape, dtype) for dtype in _DTYPES},
        "estimate": needed,
        "total_bytes": needed.total if needed else None,
        "device": found.where,
        "free_bytes": free,
        "fits": None if free is None or needed is None else needed.fits(free),
        "problem": found.problem,
    }


def _too_long(source: ModelSource, input_len: int, output_len: int) -> str:
    try:
        check_positions(source.shape, input_len, output_len)
    except ConfigError as error:
        return error.message
    return ""


def _free_memory(device: Literal["auto", "cpu", "cuda"]) -> tuple[str, DeviceKind, int | None]:
    """What to call the device, its kind, and its free bytes as measured now; None where that is not available."""
    if device != "cpu":
        from infertui.telemetry.nvml import Nvml, NvmlUnavailableError
        from infertui.telemetry.visible import visible_from_environment

        try:
            nvml = Nvml.open()
        except NvmlUnavailableError:
            nvml = None
        if nvml is not None:
            try:
                gpus = visible_from_environment(os.environ, nvml.devices())
                if gpus:
                    sample = nvml.sample(gpus[0])
                    known = sample.memory_total is not None and sample.memory_used is not None
                    free = (sample.memory_total or 0) - (sample.memory_used or 0) if known else None
                    return f"GPU {gpus[0].label} {gpus[0].name}", "cuda", free
            finally:
                nvml.close()
        if device == "cuda":
            return "a GPU", "cuda", None
    from infertui.telemetry.host import HostReader

    host = HostReader().sample()
    known = host.memory_total is not None and host.memory_used is not None
    return "the CPU", "cpu", (host.memory_total or 0) - (host.memory_used or 0) if known else None
