"""What OpenVINO GenAI compiled, read from what it says of the compiled model.

GenAI keeps the compiled model to itself. With OPENVINO_LOG_LEVEL at 3 or above it writes the model's properties, as the
plugin answers them, to the standard output while it loads; there they are taken.
"""

import ctypes
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO

_LEVEL = "OPENVINO_LOG_LEVEL"
_MODEL = "Model: "
_SCHEDULER = "SchedulerConfig {"
_STATE = "KV_CACHE_PRECISION"
_NAME = "NETWORK_NAME"
"""Says nothing of how a model was compiled: one read from a GGUF file is named by counting the models so far."""
_MAX_TEXT = 4 << 20

PRECISIONS = {"f32": "float32", "bf16": "bfloat16", "f16": "float16"}
"""Number formats as OpenVINO calls them, and as configs do."""


class Told:
    """What was written while loading; `properties` of the language model among it, empty before the end."""

    def __init__(self) -> None:
        self.text = ""

    @property
    def properties(self) -> Mapping[str, str]:
        """The properties of the language model that was compiled last; empty when nothing was said of one."""
        return properties_in(self.text)

    @property
    def scheduler(self) -> Mapping[str, str]:
        """The settings that the scheduler was made with; empty when nothing was said of them."""
        return scheduler_in(self.text)


def scheduler_in(text: str) -> dict[str, str]:
    """The settings in the last `SchedulerConfig { ... }` that GenAI wrote."""
    _, opened, rest = text.rpartition(_SCHEDULER)
    inside = rest.partition("}")[0] if opened else ""
    pairs = (line.partition(":") for line in inside.splitlines())
    return {key.strip(): value.strip() for key, colon, value in pairs if colon}


def properties_in(text: str) -> dict[str, str]:
    """The properties below the last `Model: ...LLM...` that GenAI wrote, and `DEVICE`, which it names after them."""
    found: dict[str, str] = {}
    inside = False
    for line in text.splitlines():
        if line.startswith(_MODEL):
            inside = "LLM" in line
            found = {} if inside else found
        elif inside and (pair := line.strip().partition(":"))[1]:
            key, value = pair[0].strip(), pair[2].strip()
            if key == _NAME or (key == "EXECUTION_DEVICES" and not value):
                continue
            found["DEVICE" if key == "CPU" else key] = value
    return found if _STATE in found else {}


@contextmanager
def listening() -> Iterator[Told]:
    """Take what the process writes to its standard output meanwhile, and write it there afterwards all the same."""
    told = Told()
    before = os.environ.get(_LEVEL)
    os.environ[_LEVEL] = "3"
    sys.stdout.flush()
    with tempfile.TemporaryFile() as file:
        _flush_c()
        kept = os.dup(1)
        os.dup2(file.fileno(), 1)
        try:
            yield told
        finally:
            _flush_c()
            os.dup2(kept, 1)
            os.close(kept)
            os.environ.pop(_LEVEL) if before is None else os.environ.__setitem__(_LEVEL, before)
            told.text = _copied(file)


def _copied(file: IO[bytes]) -> str:
    file.seek(0)
    content = file.read(_MAX_TEXT)
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(1, rest) :]
    return content.decode("utf-8", errors="replace")


def _flush_c() -> None:
    """The libraries of C and C++ hold back what goes to a file."""
    ctypes.CDLL(None).fflush(None)
