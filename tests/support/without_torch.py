"""An environment in which PyTorch cannot be imported: its import takes longer than what is tested, or is not there."""

import os
from collections.abc import Mapping
from pathlib import Path


def without_torch(folder: Path, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables for a child process; `folder` gets a module that stands in PyTorch's way."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "torch.py").write_text("raise ImportError('hidden from this test')\n", encoding="utf-8")
    path = [str(folder), *filter(None, [environ.get("PYTHONPATH")])]
    return {**environ, "PYTHONPATH": os.pathsep.join(path)}
