"""All engines: those of infertui, and those that installed packages add under the entry point group."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from infertui.config.engines import llama_cpp, onnxruntime_genai, openvino, simulator, tensorrt_llm, transformers, vllm
from infertui.config.engines.spec import CommonOption, EngineSpec
from infertui.text import one_line

GROUP = "infertui.engines"

BUILT_IN = (
    transformers.SPEC, tensorrt_llm.SPEC, vllm.SPEC, llama_cpp.SPEC, openvino.SPEC, onnxruntime_genai.SPEC,
    simulator.SPEC,
)  # fmt: skip

PROBLEMS: list[str] = []
"""What is wrong with engines of other packages, for doctor to tell: they are left out."""


def _added() -> Iterator[tuple[str, str, Callable[[], object]]]:
    """The entry points of other packages. Looks for the group first: importlib.metadata takes 40 ms to import."""
    folders = [
        path.parent
        for folder in dict.fromkeys(sys.path)
        for path in sorted(Path(folder).glob("*.dist-info/entry_points.txt"))
        if _names_group(path)
    ]
    if folders:
        from importlib.metadata import Distribution

        for folder in folders:
            try:
                points = Distribution.at(folder).entry_points.select(group=GROUP)
            except Exception as error:  # noqa: BLE001 (as below; one torn file must not hide the other packages)
                PROBLEMS.append(_told(folder.name, f"its entry points cannot be read: {error}"))
                continue
            for point in points:
                yield point.name, point.value, point.load


def _names_group(path: Path) -> bool:
    try:
        return f"[{GROUP}]".encode() in path.read_bytes()
    except OSError:
        return False


def _specs() -> dict[str, EngineSpec]:
    found = {spec.name: spec for spec in BUILT_IN}
    for name, value, load in _added():
        spec = _vetted(name, value, load, found)
        if spec is not None:
            found[spec.name] = spec
    return found


def _vetted(name: str, value: str, load: Callable[[], object], others: dict[str, EngineSpec]) -> EngineSpec | None:
    """The description that an entry point stands for, if it can be used; PROBLEMS says why not."""
    from infertui.config.engines.vetting import problem_with

    try:
        spec = load()
        problem = problem_with(spec)
    except (Exception, SystemExit) as error:  # noqa: BLE001 (a broken plug-in must not keep infertui from starting)
        PROBLEMS.append(_told(name, f"{value} cannot be used: {type(error).__name__}: {error}"))
        return None
    if not isinstance(spec, EngineSpec) or problem:
        PROBLEMS.append(_told(name, f"{value} cannot be used: {problem}"))
        return None
    if any(spec.table == other.table for other in others.values()):
        PROBLEMS.append(_told(name, f"{value} cannot be used: there already is an engine {spec.name}"))
        return None
    return spec


def _told(name: str, problem: str) -> str:
    return one_line(f"{name}: {problem}" if name else problem, 400)


SPECS: dict[str, EngineSpec] = _specs()


_ALSO_CALLED = {
    "huggingface": "transformers", "hf": "transformers", "pytorch": "transformers", "torch": "transformers",
    "trt": "tensorrt-llm", "tensorrt": "tensorrt-llm", "trtllm": "tensorrt-llm", "trt-llm": "tensorrt-llm",
    "ggml": "llama-cpp", "gguf": "llama-cpp", "llamacpp": "llama-cpp", "llama.cpp": "llama-cpp",
    "openvino-genai": "openvino", "onnx": "onnxruntime-genai", "onnxruntime": "onnxruntime-genai",
    "ort": "onnxruntime-genai",
}  # fmt: skip


def engine_called(word: str) -> str | None:
    """The engine that people mean by a word; None for what is none."""
    plain = word.lower().replace("_", "-")
    return plain if plain in SPECS else _ALSO_CALLED.get(plain)


def words(option: CommonOption) -> tuple[str, ...]:
    """Every word that some engine takes for an option, in the order of the engines."""
    return tuple(dict.fromkeys(word for spec in SPECS.values() for word in spec.common.get(option, ())))
