"""Built engines that are kept: a folder for each, named by what it was built from, with and for."""

import contextlib
import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from infertui.config.schema import EngineConfig
from infertui.errors import EngineError, InfertuiError
from infertui.models.disk import read_at_most
from infertui.models.kept import fingerprint
from infertui.models.resolve import ModelSource
from infertui.paths import cache_dir
from infertui.targets.engine.base import Capacity
from infertui.targets.engine.gpus import Gpu
from infertui.targets.engine.tensorrt_llm import builtengine
from infertui.targets.engine.tensorrt_llm.build.recipe import BuildOptions, dtype_of
from infertui.targets.engine.tensorrt_llm.builtengine import BuiltEngine
from infertui.targets.engine.tensorrt_llm.options import Version
from infertui.text import clean, one_line

RECORD = "infertui-build.json"
_MAX_BYTES = 1 << 20


class Key(Struct, frozen=True):
    """Everything that makes one engine another. `model` is a revision's commit, or a fingerprint of the files."""

    id: str
    model: str
    tensorrt_llm: str
    gpu: str
    capability: str
    options: BuildOptions

    @property
    def digest(self) -> str:
        """Twelve hexadecimal digits of it all."""
        return hashlib.sha256(msgspec.json.encode(self, order="deterministic")).hexdigest()[:12]

    @property
    def folder(self) -> str:
        """The name of its folder: readable, and safe as a name whatever the model is called."""
        name = "".join(char if char.isalnum() or char in "._-" else "-" for char in Path(self.id).name)[-60:].strip(
            ".-"
        )
        return f"{name or 'model'}-{self.options.precision}-{self.digest}"


class Record(Struct, frozen=True):
    """What is written beside an engine: its key, when and how it was built."""

    key: Key
    started: str
    seconds: dict[str, float]
    commands: list[list[str]]
    format: int = 1


def root(environ: Mapping[str, str] = os.environ) -> Path:
    """Where engines are kept: `infertui/tensorrt-engines` in the user's cache."""
    return cache_dir(environ) / "tensorrt-engines"


def key(source: ModelSource, options: BuildOptions, *, version: Version, gpu: Gpu) -> Key:
    """The key of an engine that would be built now."""
    return Key(
        id=source.id,
        model=source.revision or fingerprint(source),
        tensorrt_llm=version.text,
        gpu=gpu.name,
        capability=f"{gpu.capability[0]}.{gpu.capability[1]}",
        options=options,
    )


def read_record(folder: Path) -> Record | None:
    """What `infertui build` wrote there; None where it did not."""
    try:
        return msgspec.json.decode(read_at_most(folder / RECORD, _MAX_BYTES) or b"", type=Record)
    except (OSError, msgspec.MsgspecError):
        return None


def entries(environ: Mapping[str, str] = os.environ) -> Iterator[tuple[Path, Record]]:
    """All engines that are kept, whole ones alone."""
    with contextlib.suppress(OSError):
        for folder in sorted(root(environ).iterdir()):
            if not folder.name.startswith(".") and (record := read_record(folder)) is not None:
                yield folder, record


def find(
    source: ModelSource, capacity: Capacity, engine: EngineConfig, *, version: Version | None, gpu: Gpu | None
) -> BuiltEngine:
    """The smallest kept engine that serves. Raises EngineError, with the command that builds one."""
    fitting = []
    for folder, record in entries():
        options = record.key.options
        if version is None or gpu is None:
            break
        if record.key != key(source, options, version=version, gpu=gpu):
            continue
        big_enough = (
            options.batch_size >= capacity.sequences
            and options.max_input_len >= capacity.prompt_tokens
            and options.max_seq_len >= capacity.positions
            and options.tensor_parallel == engine.tensor_parallel
        )
        if big_enough and _wanted(options, source, engine):
            with contextlib.suppress(InfertuiError):
                fitting.append((options.batch_size, options.max_seq_len, builtengine.read(folder)))
    if fitting:
        return min(fitting, key=lambda found: found[:2])[2]
    raise EngineError(
        f"no engine was built for {one_line(source.id)} with this version, GPU and workload",
        remedy=_command(source, capacity, engine),
    )


def _wanted(options: BuildOptions, source: ModelSource, engine: EngineConfig) -> bool:
    if engine.quantization != "auto":
        return options.precision == engine.quantization
    plain = options.precision in ("fp32", "fp16", "bf16")
    return plain and engine.dtype in ("auto", dtype_of(options.precision, source.shape))


def _command(source: ModelSource, capacity: Capacity, engine: EngineConfig) -> str:
    short = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}
    dtype = engine.dtype if engine.dtype != "auto" else dtype_of("int8", source.shape)
    words: list[Any] = [
        "infertui build", clean(source.id),
        "--precision", engine.quantization if engine.quantization != "auto" else short[dtype],
        "--batch-size", capacity.sequences, "--max-input-len", capacity.prompt_tokens,
        "--max-output-len", capacity.output_tokens,
    ]  # fmt: skip
    if engine.tensor_parallel > 1:
        words += ["--tensor-parallel", engine.tensor_parallel]
    return " ".join(map(str, words))
