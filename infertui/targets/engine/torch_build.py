"""What PyTorch was built for, read from its files: importing it takes seconds, and belongs in a worker."""

import re
from importlib.util import find_spec
from pathlib import Path

NO_CUDA = "none"
_CUDA = re.compile(r"^cuda\s*(?::[^=\n]*)?=\s*(?:None|['\"]([0-9.]+)['\"])\s*$", re.MULTILINE)
_MOST_BYTES = 1 << 16


def cuda_of_torch() -> str:
    """The CUDA version that the installed PyTorch was built for, as `13.0`; NO_CUDA of a build without; empty where its
    files do not tell.
    """
    try:
        found = find_spec("torch")
        if found is None or not found.origin:
            return ""
        with (Path(found.origin).parent / "version.py").open("rb") as file:
            text = file.read(_MOST_BYTES).decode(errors="replace")
    except (OSError, ImportError, ValueError, AttributeError):
        return ""
    told = _CUDA.search(text)
    return (told[1] or NO_CUDA) if told else ""
