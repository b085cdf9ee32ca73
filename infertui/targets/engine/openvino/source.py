"""The model as OpenVINO GenAI is going to read it: an exported one, a quantized GGUF file, or a graph built here."""

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from infertui.config.engines.gguf_words import GGUF_FORMS
from infertui.errors import ConfigError, ModelError
from infertui.models.gguf.layout import layout
from infertui.models.gguf.read import GgufFile, must_hold_weights, parts_of, read_gguf
from infertui.models.gguf.weights import GgufFormat
from infertui.models.gguf.write import cached_gguf
from infertui.models.resolve import ModelSource
from infertui.regular_files import is_file
from infertui.targets.engine.base import LoadRequest
from infertui.targets.engine.gguf_forms import quantized_gguf
from infertui.targets.engine.openvino.graph import ARCHITECTURES, LLAMA_LIKE, build, held_types
from infertui.text import clean, one_line

EXPORTED = "openvino_model.xml"
READ_TYPES = ("f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "q4_k", "q6_k")
"""Tensor types of GGUF files that GenAI's own reader takes, as found by giving it files of every type."""

_FORMS: Mapping[str, GgufFormat] = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}
# Where the library raised; of no use to anybody else.
_PLACE = re.compile(r"^(Exception from|While validating) .*$|^Check '.*' failed at .*:$", re.MULTILINE)


class OpenvinoSource(Struct, frozen=True):
    """What the library reads, and what its weights are: their format's word, their bytes, how many are quantized."""

    path: Path
    kind: str
    weight_bytes: int
    quantized: int
    types: str
    random: bool = False


def prepared(source: ModelSource, request: LoadRequest, dtype: str, folder: Path) -> OpenvinoSource:
    """The model in a form that the library reads; what has to be written for that goes to `folder`.

    Raises ConfigError and ModelError for what it cannot be given.
    """
    check(request, source)
    wanted = request.engine.quantization
    if is_file(source.path / EXPORTED):
        return _exported(source.path)
    given = source.kind == "gguf"
    if given:
        path = source.path
    elif wanted in GGUF_FORMS:
        path = quantized_gguf(source, wanted, seed=request.model.seed, tell=_tell)
    else:
        path = cached_gguf(source, _FORMS[dtype], seed=request.model.seed, tell=_tell)
    file = read_gguf(path)
    kind = file.quantization
    if kind == "none":
        _save(path, folder)
        return replace(_exported(folder), random=file.random_weights)
    _check_readable(file, clean(source.id), kind)
    told = f"{file.types_told()} (GGUF)"
    return OpenvinoSource(path, kind, file.tensor_bytes(), file.quantized_tensors(), told, file.random_weights)


def check(request: LoadRequest, source: ModelSource) -> None:
    """Refuse what this engine cannot run, before a worker is started: see `targets.engine.base.check`."""
    wanted, name = request.engine.quantization, clean(source.id)
    if is_file(source.path / EXPORTED):
        if wanted != "auto":
            raise ConfigError(
                "engine.quantization",
                f"{wanted} was asked for, but {name} is an exported model, whose weights are what they are",
                allowed="auto",
            )
    elif source.kind == "gguf":
        _check_given(source.path, wanted, name)
    else:
        written = layout(source.config, source.shape)
        if wanted in GGUF_FORMS:
            _check_architecture(written.architecture)


def _check_given(path: Path, wanted: str, name: str) -> None:
    if (parts := len(parts_of(path))) > 1:
        raise ModelError(
            f"{name} is a model in {parts} files; OpenVINO reads those of one file",
            remedy="Join them with llama.cpp's gguf-split --merge.",
        )
    file = read_gguf(path)
    must_hold_weights(file, name)
    kind = file.quantization
    if wanted not in ("auto", kind):
        raise ConfigError(
            "engine.quantization",
            f"{wanted} was asked for, but the file's weights are {kind}",
            allowed="auto" if kind == "none" else f"auto, {kind}",
        )
    if kind != "none":
        _check_readable(file, name, kind)


def shown(error: Exception) -> str:
    """What the library says, without the places in its sources."""
    text = " ".join(_PLACE.sub("", str(error)).split())
    return one_line(text, 500) or type(error).__name__


def _check_readable(file: GgufFile, name: str, kind: str) -> None:
    """Raise ModelError for a quantized file that GenAI's reader refuses in words of its own sources."""
    _check_architecture(file.architecture)
    others = sorted({tensor.type for tensor in file.tensors} - set(READ_TYPES))
    if others:
        raise ModelError(
            f"OpenVINO cannot read {name} in {kind}: it holds tensors in {', '.join(others)}, and OpenVINO reads "
            f"{', '.join(READ_TYPES)}",
            remedy="llama.cpp puts tensors whose rows are no multiple of 256 into q5_0, q5_1 or q8_0 where a K form is "
            "asked for. Use q8_0 or q4_0, or --engine llama-cpp.",
        )


def _check_architecture(architecture: str) -> None:
    if architecture not in LLAMA_LIKE:
        raise ModelError(
            f"OpenVINO reads quantized GGUF files of {', '.join(LLAMA_LIKE)}, not of {architecture}",
            remedy=f"Leave out engine.quantization: {', '.join(ARCHITECTURES)} run in float32 and bfloat16.",
        )


def _save(path: Path, folder: Path) -> None:
    import openvino

    graph = build(path)
    try:
        openvino.save_model(graph, str(folder / EXPORTED), compress_to_fp16=False)
    except RuntimeError as error:
        raise ModelError(
            f"the model cannot be written for OpenVINO to {clean(str(folder))}: {shown(error)}",
            remedy="Free some space there, or set TMPDIR to a folder on another disk.",
        ) from error


def _exported(folder: Path) -> OpenvinoSource:
    """A folder with an OpenVINO model, looked into for the number formats of its weights."""
    import openvino

    try:
        graph = openvino.Core().read_model(str(folder / EXPORTED))
    except RuntimeError as error:
        raise ModelError(f"OpenVINO cannot read {clean(str(folder / EXPORTED))}: {shown(error)}") from error
    types = held_types(graph)
    main = max(types, key=lambda kind: types[kind], default="none")
    integers = sum(1 for node in graph.get_ops() if _is_quantized(node))
    listed = ", ".join(
        sorted((kind for kind in types if types[kind] * 100 > sum(types.values())), key=types.__getitem__)
    )
    return OpenvinoSource(folder, main, sum(types.values()), integers, f"{listed} (OpenVINO model)")


def _is_quantized(node: Any) -> bool:
    """Whether a node is a matrix of weights that are held as integers of 8 bits or fewer."""
    if node.get_type_name() != "Constant" or len(node.get_output_shape(0)) < 2:
        return False
    return node.get_element_type().to_string() in ("u8", "i8", "u4", "i4", "nf4", "f8e4m3", "f8e5m2", "u2")


def _tell(text: str) -> None:
    print(clean(text), file=sys.stderr, flush=True)  # noqa: T201 (to worker.log)
