"""A config.json of a family that is not known here: Transformers is asked, in a process that may be ended.

The answer says how many parameters the model has and what its cache keeps, found on the library's own objects without
weights. Answers are kept on disk by the content of the config and the version of the library, so that each is asked for
once. Code that comes with a checkpoint is never run.
"""

import contextlib
import hashlib
import importlib.metadata
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from infertui.models.memory.kv_cache import Cache
from infertui.paths import cache_dir
from infertui.text import one_line

HELPER: Final = "infertui.targets.engine.transformers.describe"
TIMEOUT_S: Final = 90.0
_MOST_BYTES = 1 << 16
# To be raised when the same config would be answered differently.
_RECIPE = 1
_NOT_HANDED_ON = ("PYTHONHOME", "PYTHONPATH", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")

_told: ContextVar[Callable[[str], None] | None] = ContextVar("told", default=None)
_unanswered: set[str] = set()
_lock = threading.Lock()


class LibraryAnswer(Struct, frozen=True, forbid_unknown_fields=True):
    """What the library says. With a `problem` nothing else holds; `decoder` is false for a model that it knows and that
    generates no text. `cache` is None where the model keeps it in a way of its own.

    The other fields are those of `ModelShape`.
    """

    version: str = ""
    problem: str = ""
    decoder: bool = True
    architecture: str = ""
    layers: int = 0
    hidden: int = 0
    heads: int = 0
    kv_heads: int = 0
    head_dim: int = 0
    intermediate: int = 0
    vocab: int = 0
    max_positions: int = 0
    tied_embeddings: bool = False
    gated_mlp: bool = True
    parameters: int = 0
    active_parameters: int = 0
    matrix_parameters: int = 0
    experts: int = 0
    active_experts: int = 0
    cache: Cache | None = None


@contextlib.contextmanager
def telling(tell: Callable[[str], None]) -> Iterator[None]:
    """Whoever has to ask within this says so to `tell` before it waits, in whichever thread that happens."""
    before = _told.set(tell)
    try:
        yield
    finally:
        _told.reset(before)


def described(
    config: Mapping[str, Any], *, only_kept: bool = False, timeout_s: float = TIMEOUT_S
) -> LibraryAnswer | None:
    """What Transformers says of a config; None where it is not installed or did not answer in time.

    With `only_kept` nobody is asked. It takes seconds otherwise, so it is nothing for an event loop.
    """
    version = _version()
    if not version:
        return None
    try:
        content = msgspec.json.encode(config, order="sorted")
    except (TypeError, ValueError, RecursionError):
        return None
    key = hashlib.sha256(b"%d %s " % (_RECIPE, version.encode()) + content).hexdigest()
    path = _folder() / f"{key[:40]}.json"
    if (kept := _read(path)) is not None:
        return kept
    with _lock:
        given_up = key in _unanswered
    if only_kept or given_up:
        return None
    if (tell := _told.get()) is not None:
        name = one_line(config.get("model_type", ""), 60) or "this model"
        tell(f"asking Transformers what {name} is: once, {timeout_s:g} s at most")
    answer = ask(content, timeout_s=timeout_s)
    if answer is None:
        with _lock:
            _unanswered.add(key)
        return None
    answer = msgspec.structs.replace(answer, version=version)
    _write(path, answer)
    return answer


def ask(content: bytes, *, timeout_s: float = TIMEOUT_S, python: str = sys.executable) -> LibraryAnswer | None:
    """The answer of the helper to a config as JSON; None where there is none in time, or it died."""
    token = secrets.token_hex(8)
    read, write = os.pipe()
    try:
        with tempfile.TemporaryFile() as handed:
            handed.write(content)
            handed.seek(0)
            process = subprocess.Popen(
                [python, "-P", "-m", HELPER, str(write), token, str(int(timeout_s))],
                stdin=handed,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(write,),
                start_new_session=True,
                cwd="/",
                env={name: value for name, value in os.environ.items() if name not in _NOT_HANDED_ON}
                | {"HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "", "HF_HUB_DISABLE_TELEMETRY": "1"},
            )
    except OSError:
        os.close(read)
        return None
    finally:
        os.close(write)
    try:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout_s)
        os.set_blocking(read, False)
        try:
            line = os.read(read, _MOST_BYTES)
        except BlockingIOError:
            return None
    finally:
        os.close(read)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    said, _, rest = line.partition(b" ")
    if said != token.encode():
        return None
    try:
        return msgspec.json.decode(rest, type=LibraryAnswer)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _version() -> str:
    """Transformers' version, empty where it or PyTorch is not installed; neither is imported."""
    if find_spec("transformers") is None or find_spec("torch") is None:
        return ""
    try:
        return importlib.metadata.version("transformers")
    except importlib.metadata.PackageNotFoundError:
        return ""


def _folder(environ: Mapping[str, str] = os.environ) -> Path:
    return cache_dir(environ) / "shapes"


def _read(path: Path) -> LibraryAnswer | None:
    try:
        with path.open("rb") as file:
            return msgspec.json.decode(file.read(_MOST_BYTES), type=LibraryAnswer)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _write(path: Path, answer: LibraryAnswer) -> None:
    """Keep it where that can be done: without, it is asked for again."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(f".{secrets.token_hex(4)}.part")
        try:
            beside.write_bytes(msgspec.json.encode(answer))
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
