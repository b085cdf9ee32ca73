"""GGUF files in the forms that people download, made by llama.cpp's own quantizer, and kept in the cache.

Which tensor gets which type is llama.cpp's to decide: a file called q4_0 holds its output layer in more bits, and one
called q4_k_m mixes two types by layer. What is measured is that, and no recipe of ours. The quantizer runs in a process
of its own: engines that read its files need not share theirs with llama.cpp's threads.
"""

import importlib.metadata
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path

from infertui.config.engines.gguf_words import GGUF_FORMS
from infertui.errors import EngineError
from infertui.models.gguf.read import FILE_TYPES, read_gguf
from infertui.models.gguf.weights import GgufFormat
from infertui.models.gguf.write import cached_gguf, kept
from infertui.models.resolve import ModelSource
from infertui.text import clean

_PACKAGE = "llama-cpp-python"
_NUMBERS = {word: number for number, word in FILE_TYPES.items()}
_PLAIN: Mapping[str, GgufFormat] = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}
_DRAWN: Mapping[str, GgufFormat] = {"q8_0": "q8_0", "q4_0": "q4_0"}


def quantized_gguf(
    source: ModelSource, form: str, *, seed: int = 0, tell: Callable[[str], None] = lambda _: None
) -> Path:
    """The GGUF file of a checkpoint or a synthetic model in one of GGUF_FORMS, made first where it is not there yet.

    It is made of a file that holds the checkpoint's weights without loss, which stays in the cache. Synthetic weights
    are drawn in Q8_0 and Q4_0 as they are stored. Raises EngineError without llama.cpp, ModelError as `cached_gguf`.
    """
    if source.kind == "synthetic" and form in _DRAWN:
        return cached_gguf(source, _DRAWN[form], seed=seed, tell=tell)
    version = _version()
    if not version:
        if form == "q8_0":  # one format for every matrix: the gguf package's quantizer gives the same bytes
            return cached_gguf(source, "q8_0", seed=seed, tell=tell)
        raise EngineError(
            f"engine.quantization = {form} is made by llama.cpp's own quantizer, and {_PACKAGE} is not installed",
            remedy='pip install "infertui[llama-cpp]", use q8_0, or name a .gguf file as model.id.',
        )
    plain = cached_gguf(source, _PLAIN.get(source.shape.dtype, "f32"), seed=seed, tell=tell)
    name = f"{plain.stem}-{form}-{version}.gguf"
    return kept(name, lambda path: _quantize(plain, path, form, tell), tell=tell)


def _version() -> str:
    if find_spec("llama_cpp") is None:
        return ""
    try:
        return clean(importlib.metadata.version(_PACKAGE)).replace("/", "-")
    except importlib.metadata.PackageNotFoundError:
        return ""


def _quantize(plain: Path, path: Path, form: str, tell: Callable[[str], None]) -> None:
    tell(f"quantizing {plain.name} to {form} with llama.cpp {_version()}")
    threads = len(os.sched_getaffinity(0))
    command = [sys.executable, "-m", __name__, str(plain), str(path), form, str(threads)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, check=False)
    if done.returncode or not path.is_file():
        raise EngineError(
            f"llama.cpp could not quantize {clean(plain.name)} to {form}: it ended with status {done.returncode}",
            remedy="worker.log has llama.cpp's own account; the disk may be full: XDG_CACHE_HOME may name another.",
        )
    read_gguf(path)  # what cannot be read back is not kept


def main(arguments: list[str]) -> int:
    """`SOURCE TARGET FORM THREADS`: quantize a file; the answer of llama.cpp, 0 where it is done."""
    import ctypes

    from infertui.targets.engine.llama_cpp.library import library

    source, target, form, threads = arguments
    if form not in GGUF_FORMS:
        return 2
    api = library().api
    params = api.llama_model_quantize_default_params()
    params.ftype, params.nthread = _NUMBERS[form], int(threads)
    return int(api.llama_model_quantize(os.fsencode(source), os.fsencode(target), ctypes.byref(params)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
