"""Which GGUF file a request means: a file of the user's, or one written for it in the format asked for."""

import sys
from pathlib import Path

from msgspec import Struct

from infertui.config.schema import EngineConfig, ModelConfig
from infertui.errors import ConfigError, EngineError
from infertui.models.gguf.layout import layout
from infertui.models.gguf.read import DTYPES, GgufFile, must_hold_weights, read_parts
from infertui.models.gguf.weights import GgufFormat
from infertui.models.gguf.write import cached_gguf, must_be_dense
from infertui.models.memory.estimate import DeviceKind, dtype_in_use
from infertui.models.resolve import ModelSource
from infertui.targets.engine.gguf_forms import quantized_gguf
from infertui.text import clean

_FORMATS: dict[str, GgufFormat] = {"float32": "f32", "float16": "f16", "bfloat16": "bf16"}


class Weights(Struct, frozen=True):
    """A file to load and what is in it. `dtype` is what its unquantized weights are held in."""

    path: Path
    file: GgufFile

    @property
    def dtype(self) -> str:
        """The plain number format: that of the weights, or float32, in which all else is, where they are quantized."""
        return DTYPES.get(self.file.weight_type(), "float32")

    @property
    def quantization(self) -> str:
        """The word of the option: `none` for weights in a plain number format."""
        return self.file.quantization

    @property
    def form(self) -> str:
        """What the file is called: its quantization, or the plain type of its weights."""
        return self.file.weight_type() if self.quantization == "none" else self.quantization


def find_weights_file(source: ModelSource, model: ModelConfig, engine: EngineConfig, device: DeviceKind) -> Weights:
    """The file for a request, written now where there is none yet.

    Raises ConfigError where dtype or quantization contradict a given file or each other, ModelError for a file without
    weights, and what writing raises.
    """
    if source.kind == "gguf":
        file, _ = read_parts(source.path)
        weights = Weights(source.path, file)
        _must_agree(weights, engine)
        return weights
    _must_go_together(engine)
    try:
        if engine.quantization == "auto":
            form = _FORMATS[dtype_in_use(source.shape, engine.dtype, device)]
            path = cached_gguf(source, form, seed=model.seed, tell=_tell)
        else:
            path = quantized_gguf(source, engine.quantization, seed=model.seed, tell=_tell)
    except ImportError as error:
        raise EngineError(
            f"writing {source.label} as a GGUF file needs the package gguf, which is not installed",
            remedy="pip install gguf; or name a .gguf file as model.id.",
        ) from error
    return Weights(path, read_parts(path)[0])


def check_weights(source: ModelSource, engine: EngineConfig) -> None:
    """Raise what `find_weights_file` says of dtype and quantization, and of a model that cannot be written, without
    writing anything."""
    if source.kind == "gguf":
        _must_agree(Weights(source.path, read_parts(source.path)[0]), engine)
    else:
        _must_go_together(engine)
        layout(source.config, source.shape)
        must_be_dense(source)


def _must_go_together(engine: EngineConfig) -> None:
    """The dtype is that of all that is not quantized."""
    if engine.quantization != "auto" and engine.dtype not in ("auto", "float32"):
        raise ConfigError(
            "engine.dtype",
            f"{engine.dtype} beside engine.quantization = {engine.quantization}: the matrices are quantized, and all "
            "else is float32",
            allowed="auto or float32",
        )


def _must_agree(weights: Weights, engine: EngineConfig) -> None:
    """A file is what it is, and has to hold weights at all."""
    must_hold_weights(weights.file, clean(str(weights.path)))
    for key, asked, held in (
        ("engine.quantization", engine.quantization, weights.quantization),
        ("engine.dtype", engine.dtype, weights.dtype),
    ):
        if asked not in ("auto", held):
            raise ConfigError(
                key, f"{asked} was asked for, but the file holds {clean(weights.form)} weights", allowed=f"auto, {held}"
            )


def _tell(text: str) -> None:
    print(clean(text), file=sys.stderr, flush=True)  # noqa: T201 (to worker.log)
