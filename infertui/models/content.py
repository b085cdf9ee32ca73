"""Whether a model's files are still those of before, told without reading all of them.

A file under the same name may be another one tomorrow: another quantization, another fine-tuning. Its size and its head
tell: GGUF and safetensors files begin with what their tensors are. Times are left out, as copying changes them.
"""

import contextlib
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from infertui import regular_files
from infertui.models.gguf.read import parts_of
from infertui.models.resolve import ModelSource
from infertui.models.weights import find_weights

_HEAD = 1 << 20
_LENGTH = 16


def content_mark(source: ModelSource) -> str:
    """A short text that differs where the config, or the size or first MiB of a file of weights does.

    Empty where one cannot be read.
    """
    seen = hashlib.sha256(msgspec.json.encode(source.config, order="deterministic"))
    with contextlib.suppress(OSError):
        for path in _files(source):
            with regular_files.opened(path) as file:
                seen.update(file.read(_HEAD))
                seen.update(file.seek(0, os.SEEK_END).to_bytes(8, "little"))
        return seen.hexdigest()[:_LENGTH]
    return ""


def _files(source: ModelSource) -> Sequence[Path]:
    if source.kind == "synthetic":
        return ()
    return parts_of(source.path) if source.kind == "gguf" else sorted(find_weights(source.path).files)
