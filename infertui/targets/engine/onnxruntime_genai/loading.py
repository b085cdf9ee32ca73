"""From a made model to a loaded one: what the library is told, and what is known of the device."""

import contextlib
import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from infertui.errors import EngineError
from infertui.models.tokenizers import Tokenizer
from infertui.targets.engine import gpus
from infertui.targets.engine.base import LoadRequest
from infertui.targets.engine.onnxruntime_genai.asked import Recipe
from infertui.targets.engine.onnxruntime_genai.installed import versions
from infertui.text import clean, error_text

_NO_MEMORY = ("bad_alloc", "out of memory", "Failed to allocate memory", "CUDA_ERROR_OUT_OF_MEMORY")
_RTX_MODULE = "onnxruntime_ep_nv_tensorrt_rtx"
_RTX_PACKAGE = "onnxruntime-ep-nv-tensorrt-rtx-cu13"


def library() -> Any:
    """ONNX Runtime GenAI, imported, its telemetry off, and CUDA's libraries where pip put them loaded."""
    import onnxruntime

    if "onnxruntime-gpu" in versions():
        with contextlib.redirect_stdout(sys.stderr):  # it says there what it does not find
            onnxruntime.preload_dlls(directory=cuda_folder(onnxruntime.cuda_version))
    import onnxruntime_genai

    onnxruntime_genai.disable_telemetry_events()
    return onnxruntime_genai


def cuda_folder(version: str) -> str | None:
    """Where pip put the libraries of that CUDA; None where they are not found so: before 13 each had its own folder.

    By itself the library looks beside its own package, which may lie in another folder of packages.
    """
    spec = find_spec("nvidia")
    places = list(spec.submodule_search_locations or ()) if spec else []
    folders = (Path(place) / f"cu{version.partition('.')[0]}" / "lib" for place in places)
    return next((str(folder) for folder in folders if folder.is_dir()), None)


def with_device(request: LoadRequest, library: Any) -> LoadRequest:
    """With `auto` decided: a GPU where the library was built for one and one is there, else the CPU."""
    if request.device.name != "auto":
        return request
    asked = request.engine.onnxruntime_genai.execution_provider
    driver = gpus.read()
    seen = bool(driver and gpus.visible(driver))
    usable = seen and bool(library.is_cuda_available()) and asked != "cpu"
    return replace(request, device=replace(request.device, name="cuda" if usable else "cpu"))


def config(folder: Path, recipe: Recipe, request: LoadRequest, library: Any, *, never: int, pad: int) -> Any:
    """The library's config of a made model, with what a run wants of it.

    `never` takes the place of the tokens that end a text, `pad` of the one that fills up.
    """
    found = library.Config(str(folder))
    decoder: dict[str, Any] = {}
    if request.device.threads:
        decoder = {"decoder": {"session_options": {"intra_op_num_threads": request.device.threads}}}
    found.overlay(json.dumps({"model": {"eos_token_id": never, "pad_token_id": pad, **decoder}}))
    index = request.device.name.partition(":")[2] or "0"
    if recipe.provider == "cuda":
        found.set_provider_option("cuda", "device_id", index)
    elif recipe.provider == "nv-tensorrt-rtx":
        _register_rtx(library)
    return found


def must_reach_gpus(recipe: Recipe) -> None:
    """Raise EngineError where a GPU is to compute and the library was installed for CPUs."""
    if recipe.provider != "cpu" and "onnxruntime-genai-cuda" not in (found := versions()):
        told = ", ".join(f"{package} {version}" for package, version in found.items())
        raise EngineError(
            f"{recipe.provider} is to compute, and what is installed is for CPUs: {told}",
            remedy='pip uninstall onnxruntime onnxruntime-genai; pip install "infertui[onnx-cuda]"; or --device cpu.',
        )


def _register_rtx(library: Any) -> None:
    """Hand the library the provider's plug-in. Written by its documentation: no GPU that it supports was at hand.

    Raises EngineError where it is not installed or not taken.
    """
    try:
        plugin = __import__(_RTX_MODULE)
        library.register_execution_provider_library(plugin.get_ep_name(), plugin.get_library_path())
    except ImportError as error:
        raise EngineError(
            f"engine.onnxruntime_genai.execution_provider = nv-tensorrt-rtx needs {_RTX_PACKAGE}",
            remedy=f"pip install {_RTX_PACKAGE}",
        ) from error
    except Exception as error:
        raise EngineError(f"ONNX Runtime does not take {_RTX_PACKAGE}: {error_text(error, 400)}") from error


def never_generated(tokenizer: Tokenizer, vocabulary: int) -> int:
    """A token that a text hardly has: beyond the tokenizer's, where the model has more rows, else its last mark."""
    if tokenizer.vocab_size < vocabulary or not tokenizer.all_special_ids:
        return vocabulary - 1
    return min(vocabulary - 1, tokenizer.all_special_ids[-1])


def gpu_name(device: str) -> tuple[str, str]:
    """Name and UUID of a visible GPU by its number in `cuda:0`; what is not known is empty."""
    driver = gpus.read()
    seen = gpus.visible(driver) if driver else ()
    index = int(device.partition(":")[2] or 0)
    return (clean(seen[index].name), clean(seen[index].uuid)) if index < len(seen) else ("unknown GPU", "")


def wants_memory(error: Exception) -> bool:
    """Whether it is for want of memory, which the worker tells with its figures."""
    return isinstance(error, MemoryError) or any(sign in str(error) for sign in _NO_MEMORY)


def tell(text: str) -> None:
    """A line of progress."""
    print(clean(text), file=sys.stderr, flush=True)  # noqa: T201 (to worker.log)
