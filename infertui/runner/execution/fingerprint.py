"""Where and with what a run was measured."""

import os
import platform
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path

import infertui
from infertui.config.parse import config_hash
from infertui.config.schema import Config
from infertui.results.result import Fingerprint
from infertui.telemetry.host import host_facts
from infertui.telemetry.readings import GpuInfo
from infertui.text import clean

LIBRARIES = ("msgspec", "numpy", "nvidia-ml-py", "psutil")


def fingerprint(config: Config, gpus: tuple[GpuInfo, ...]) -> Fingerprint:
    """The fingerprint of a run about to start. The engine's own libraries are in `Result.loaded`."""
    return Fingerprint(
        infertui=infertui.__version__,
        git_revision=git_revision(),
        python=platform.python_version(),
        host=host_facts(),
        gpus=gpus,
        driver=next((gpu.driver for gpu in gpus if gpu.driver), ""),
        cuda_driver=next((gpu.cuda_driver for gpu in gpus if gpu.cuda_driver), ""),
        config_hash=config_hash(config),
        libraries={name: version(name) for name in LIBRARIES},
    )


@cache
def git_revision() -> str:
    """The commit of the checkout that runs, `-dirty` with changes.

    An installed copy has none; who builds an image sets INFERTUI_GIT_REVISION to say it.
    """
    if told := os.environ.get("INFERTUI_GIT_REVISION"):
        return clean(told)
    root = Path(infertui.__file__).parent.parent
    if not (root / ".git").exists():
        return ""
    try:
        answer = subprocess.run(
            ["git", "--no-optional-locks", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            cwd=root,
            capture_output=True,
            text=True,
            timeout=2,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return answer.stdout.strip()
