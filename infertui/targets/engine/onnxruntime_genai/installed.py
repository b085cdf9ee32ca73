"""Which of the library's packages are here. None is imported."""

import importlib.metadata
import re
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

from infertui.config.engines.onnxruntime_genai import SPEC
from infertui.targets.engine.base import Probe

MODULES = MappingProxyType(
    {
        "onnxruntime_genai": ("onnxruntime-genai", "onnxruntime-genai-cuda"),
        "onnxruntime": ("onnxruntime", "onnxruntime-gpu"),
        "onnx": ("onnx",),
        "onnx_ir": ("onnx-ir",),
        "torch": ("torch",),
        "transformers": ("transformers",),
    }
)
"""Modules, and the packages that may hold each. The last four make the model that the first two run."""
_RUN_WITH = ("onnxruntime_genai", "onnxruntime")
_CUDA = re.compile(r"^cuda_version\s*=\s*['\"]([0-9.]+)['\"]", re.MULTILINE)


def probe() -> Probe:
    """Usable when the library, and what its model builder needs, are installed."""
    missing = [packages[0] for module, packages in MODULES.items() if find_spec(module) is None]
    if missing:
        reason = f"{_listed(missing)} not installed"
        return Probe("onnxruntime-genai", available=False, reason=reason, remedy=SPEC.install)
    found = versions()
    for module in _RUN_WITH:
        if not any(package in found for package in MODULES[module]):
            reason = f"there is a folder or module named {module}, but not the package"
            return Probe("onnxruntime-genai", available=False, reason=reason, remedy=SPEC.install)
    return Probe("onnxruntime-genai", available=True, reason="installed", versions=found, cuda=_cuda())


def versions() -> dict[str, str]:
    """The versions of the packages that run a model, by package: of several, the one whose module would be imported."""
    found: dict[str, str] = {}
    for module in _RUN_WITH:
        there = [each for package in MODULES[module] if (each := _distribution(package)) is not None]
        chosen = [each for each in there if _holds(each, module)] or there[:1]
        found |= {str(each.metadata["Name"]): str(each.version) for each in chosen[:1]}
    return found


def _distribution(package: str) -> importlib.metadata.Distribution | None:
    try:
        return importlib.metadata.distribution(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _holds(distribution: importlib.metadata.Distribution, module: str) -> bool:
    """Whether a package was installed into the folder from which the module would be imported."""
    spec = find_spec(module)
    folder = Path(str(distribution.locate_file(""))).resolve()
    return spec is not None and spec.origin is not None and Path(spec.origin).resolve().parent.parent == folder


def _cuda() -> str:
    """The version of CUDA that ONNX Runtime says it was built for; `none` where it says none."""
    spec = find_spec("onnxruntime")
    places = list(spec.submodule_search_locations or ()) if spec else []
    for place in places:
        path = Path(place) / "capi" / "build_and_package_info.py"
        try:
            named = _CUDA.search(path.read_text(encoding="utf-8", errors="replace"))
        except OSError:
            return ""
        return named.group(1) if named else "none"
    return ""


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
