"""Engines in other Python environments: vLLM, TensorRT-LLM and Transformers pin different versions of PyTorch.

Whether an engine can be used there is asked of that interpreter, in a process with a time-out:
`PATH -P -m infertui.targets.engine.environments NAME FD TOKEN` writes one line of JSON to descriptor FD. Whatever that
Python prints besides, of its own or because of a `sitecustomize`, goes elsewhere.

Which Python interpreter runs each engine, as the user chose it: `engines.toml` in the user's config directory.
"""

import contextlib
import os
import secrets
import selectors
import signal
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from infertui import __version__, regular_files
from infertui.config.engines.registry import SPECS
from infertui.config.schema import EngineConfig
from infertui.errors import ConfigError, InfertuiError, StoreError
from infertui.paths import config_dir, expand
from infertui.targets.engine.base import Probe, probe
from infertui.text import clean, one_line

_MAX_BYTES = 1 << 20
_HEAD = "# Python interpreters of engines in environments of their own; written by `infertui engines use`.\n"


def chosen_file(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the choice is kept."""
    return config_dir(environ) / "engines.toml"


def chosen(environ: Mapping[str, str] = os.environ) -> dict[str, Path]:
    """The interpreter of each engine that has one of its own. Raises ConfigError for a file that cannot be read."""
    path = chosen_file(environ)
    name = clean(str(path))
    try:
        tables = tomllib.loads(regular_files.read(path, _MAX_BYTES).decode("utf-8-sig"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(
            "",
            f"cannot read {name}: {error.strerror}",
            remedy="It names the Python of engines. XDG_CONFIG_HOME is where.",
        ) from None
    except (ValueError, RecursionError):
        raise ConfigError("", f"{name} is not TOML", remedy=_MEND) from None
    found = {}
    for engine, table in tables.items():
        python = table.get("python") if isinstance(table, dict) else None
        if not isinstance(python, str) or not python.startswith("/"):
            raise ConfigError(
                f"{clean(engine)}.python",
                "this is not the path of an interpreter",
                allowed="an absolute path",
                source=f"file {name}",
                remedy=_MEND,
            )
        found[engine] = Path(python)
    return found


_MEND = "Mend the file, or delete it and say `infertui engines use NAME --python PATH` again."


def choose(engine: str, python: Path | None, environ: Mapping[str, str] = os.environ) -> None:
    """Keep the interpreter of an engine, or forget it (None). Raises StoreError; ConfigError for a broken file."""
    import tomli_w  # not at hand in every environment that an engine runs in

    table = {name: {"python": str(path)} for name, path in chosen(environ).items() if name != engine}
    if python is not None:
        table[engine] = {"python": str(python)}
    path = chosen_file(environ)
    draft = path.with_name(f".infertui-{secrets.token_hex(6)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        real = Path(os.path.realpath(path))
        draft = real.with_name(draft.name)
        with draft.open("xb") as file:
            file.write(_HEAD.encode() + tomli_w.dumps(table).encode())
            file.flush()
            os.fsync(file.fileno())
        draft.replace(real)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise StoreError(f"cannot write {clean(str(path))}: {error.strerror}") from None


PROBE_TIMEOUT_S = 20.0
NEEDED = (3, 11)
_MOST_BYTES = 1 << 16
_FAILURE_KEPT_S = 30.0
# They are about this interpreter, and would mislead another.
_NOT_HANDED_ON = ("PYTHONHOME", "PYTHONPATH", "PYTHONEXECUTABLE", "__PYVENV_LAUNCHER__", "VIRTUAL_ENV")


class ProbeAnswer(Struct, frozen=True):
    """What the other interpreter says of itself and of the engine."""

    token: str
    version: str
    probe: msgspec.Raw
    """A Probe, which an infertui of another version may spell differently."""


def interpreter_for(engine: EngineConfig, environ: Mapping[str, str] = os.environ) -> Path | None:
    """The Python that runs an engine: `engine.python`, else the user's choice; None for this interpreter.

    Links are kept: the interpreter of a virtual environment is a link, and what it points to is another. Raises
    ConfigError where the user's choice cannot be read.
    """
    path = absolute(engine.python) if engine.python else chosen(environ).get(engine.name)
    return None if path is None or is_this(path) else path


def is_this(python: Path) -> bool:
    """Whether that is the interpreter that runs this, by this or another name in the same folder."""
    return python.parent == absolute(sys.executable).parent and os.path.realpath(python) == os.path.realpath(
        sys.executable
    )


def absolute(text: str | Path) -> Path:
    """A path as it is seen from the current folder, without following links."""
    return Path(os.path.normpath(expand(text).absolute()))


def probe_for(engine: EngineConfig, *, environ: Mapping[str, str] = os.environ, fresh: bool = False) -> Probe:
    """Whether the engine can be used in the interpreter that is meant for it. Never raises.

    In this interpreter it takes milliseconds. Another one is asked in a process: up to PROBE_TIMEOUT_S, so not on an
    event loop; the answer is kept until something is installed there. `fresh` asks all the same.
    """
    try:
        python = interpreter_for(engine, environ)
    except InfertuiError as error:
        return Probe(engine.name, available=False, reason=error.message, remedy=error.remedy)
    return _here(engine.name) if python is None else _remembered(engine.name, python, environ, fresh=fresh)


def _here(name: str) -> Probe:
    try:
        return probe(name)
    except InfertuiError as error:
        return Probe(name, available=False, reason=error.message, remedy=error.remedy)
    except Exception as error:  # noqa: BLE001 (an engine of another package can be broken in any way)
        reason = f"asking whether it can be used failed: {type(error).__name__}: {one_line(error, 300)}"
        return Probe(name, available=False, reason=reason, remedy="Install the engine's package again, or remove it.")


def probe_all(environ: Mapping[str, str] = os.environ) -> tuple[Probe, ...]:
    """`probe_for` of every engine as it is configured without a file, those in other interpreters at the same time."""
    engines = [EngineConfig(name=name) for name in SPECS]
    with ThreadPoolExecutor(len(engines), "probe") as pool:
        return tuple(pool.map(lambda engine: probe_for(engine, environ=environ), engines))


def probe_known(environ: Mapping[str, str] = os.environ) -> tuple[Probe, ...]:
    """As `probe_all`, but at once: an interpreter that has not been asked yet is said to be unknown."""
    return tuple(_known(EngineConfig(name=name), environ) for name in SPECS)


def _known(engine: EngineConfig, environ: Mapping[str, str]) -> Probe:
    try:
        python = interpreter_for(engine, environ)
    except InfertuiError as error:
        return Probe(engine.name, available=False, reason=error.message, remedy=error.remedy)
    if python is None:
        return _here(engine.name)
    with _lock:
        kept = _kept.get((engine.name, str(python)))
    again = f"infertui engines {engine.name} asks it."
    return kept.answer if kept else Probe(engine.name, available=False, reason=f"{python} was not asked", remedy=again)


def environment_for(python: Path | None, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables for a process of an engine in that interpreter: those about this interpreter are left out."""
    if python is None:
        return dict(environ)
    return {name: value for name, value in environ.items() if name not in _NOT_HANDED_ON}


# -- memory


class _Kept(NamedTuple):
    """An answer, what the environment looked like then, and until when (time.monotonic) it holds."""

    stamp: tuple[object, ...]
    until: float
    answer: Probe


_kept: dict[tuple[str, str], _Kept] = {}
_lock = threading.Lock()


def _remembered(name: str, python: Path, environ: Mapping[str, str], *, fresh: bool) -> Probe:
    key, stamp = (name, str(python)), _stamp(python)
    with _lock:
        kept = _kept.get(key)
    if kept is not None and kept.stamp == stamp and time.monotonic() < kept.until and not fresh:
        return kept.answer
    answer = ask(name, python, environ)
    until = float("inf") if answer.available else time.monotonic() + _FAILURE_KEPT_S
    with _lock:
        _kept[key] = _Kept(stamp, until, answer)
    return answer


def _stamp(python: Path) -> tuple[object, ...]:
    """What changes when the interpreter does, or something is installed in its environment."""
    root = python.parent.parent
    found: list[object] = []
    for path in (python, root / "pyvenv.cfg", *sorted(root.glob("lib*/python3*/*-packages"))):
        with contextlib.suppress(OSError):
            found.append((str(path), path.stat().st_mtime_ns))
    return tuple(found)


# -- asking


class _Said(NamedTuple):
    """What came of a process: its answer and its errors, both cut; its exit status, None where it had to be ended."""

    answer: bytes
    errors: bytes
    status: int | None


def ask(
    name: str, python: Path, environ: Mapping[str, str] = os.environ, *, timeout_s: float = PROBE_TIMEOUT_S
) -> Probe:
    """What `python` says of an engine, with reason and remedy where it cannot say. Takes up to `timeout_s`."""

    def unusable(reason: str, remedy: str) -> Probe:
        return Probe(name, available=False, reason=f"{clean(str(python))}: {reason}", remedy=remedy)

    deadline = time.monotonic() + timeout_s
    token = secrets.token_hex(8)
    try:
        if not regular_files.exists(python):
            return unusable("there is no such file", f"Name another: infertui engines use {name} --python PATH")
        if regular_files.is_dir(python):
            return unusable("that is a folder", f"Name the interpreter in it, as in {clean(str(python))}/bin/python.")
        if not os.access(python, os.X_OK):
            return unusable("that is not executable", "Name the interpreter itself, as in ENVIRONMENT/bin/python.")
        said = _run(
            lambda fd: [str(python), "-P", "-m", "infertui.targets.engine.environments", name, str(fd), token],
            environ,
            deadline,
        )
        if (answer := _answer(said.answer, token)) is not None:
            return _judged(name, python, answer)
        if said.status is None and time.monotonic() >= deadline:
            return unusable(f"no answer within {timeout_s:g} s", f"Try it: {clean(str(python))} -c 'import infertui'")
        return unusable(*_diagnosis(python, said, environ, deadline))
    except OSError as error:
        return unusable(f"it cannot be run: {error.strerror}", "Name a Python interpreter of this machine.")


def _judged(name: str, python: Path, answer: ProbeAnswer) -> Probe:
    """The other's answer, unless another infertui gave it: messages between the two have to mean the same."""
    if answer.version != __version__:
        return Probe(
            name,
            available=False,
            reason=f"{clean(str(python))} has infertui {one_line(answer.version, 300)}, and this is {__version__}",
            remedy=f"Install the same version there: {_pip(python)}",
        )
    try:
        told = msgspec.json.decode(answer.probe, type=Probe)
    except msgspec.MsgspecError as error:
        reason = f"{clean(str(python))}: its answer cannot be read: {one_line(error, 300)}"
        return Probe(name, available=False, reason=reason, remedy=f"Install infertui there again: {_pip(python)}")
    versions = {one_line(library, 300): one_line(number, 300) for library, number in list(told.versions.items())[:20]}
    remedy = one_line(told.remedy, 300)
    if remedy and not told.available:
        remedy = f"In the environment of {clean(str(python))}: {remedy}"
    return replace(
        told,
        engine=name,
        reason=one_line(told.reason, 300),
        remedy=remedy,
        versions=versions,
        cuda=one_line(told.cuda, 300),
        packages=None if told.packages is None else tuple(one_line(one, 300) for one in told.packages[:20]),
    )


def _diagnosis(python: Path, said: _Said, environ: Mapping[str, str], deadline: float) -> tuple[str, str]:
    """Why there was no answer, and what to do."""
    marker = f"infertui-python-{secrets.token_hex(8)}"
    code = f"import sys; print({marker!r}, *sys.version_info[:2], flush=True)"
    plain = _run(lambda _: [str(python), "-I", "-c", code], environ, deadline, answer_on_stdout=True)
    lines = plain.answer.decode(errors="replace").splitlines()
    words = next((line.split() for line in lines if line.startswith(marker)), [])
    if len(words) != 3 or not all(word.isdecimal() for word in words[1:]):
        return "that is not a working Python interpreter", "Name another, as in ENVIRONMENT/bin/python."
    version = (int(words[1]), int(words[2]))
    if version < NEEDED:
        needs = ".".join(map(str, NEEDED))
        return f"that is Python {version[0]}.{version[1]}", f"infertui needs {needs} or newer in that environment."
    errors = said.errors.decode(errors="replace")
    if "No module named 'infertui'" in errors or "No module named infertui\n" in errors + "\n":
        return "infertui is not installed there", _pip(python)
    if "infertui.targets.engine.environments" in errors and "No module named" in errors:
        return "an infertui of another version is installed there", f"Install this one there: {_pip(python)}"
    last = next((line for line in reversed(errors.splitlines()) if line.strip()), "it said nothing")
    return (
        f"asking it failed (exit status {said.status}): {one_line(last, 300)}",
        f"Install again: {_pip(python)}",
    )


def _pip(python: Path) -> str:
    return f"{clean(str(python))} -m pip install infertui=={__version__}"


def _answer(line: bytes, token: str) -> ProbeAnswer | None:
    if b"\n" not in line:
        return None
    try:
        answer = msgspec.json.decode(line.partition(b"\n")[0], type=ProbeAnswer)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return answer if answer.token == token else None


def _run(
    command: Callable[[int], list[str]],
    environ: Mapping[str, str],
    deadline: float,
    *,
    answer_on_stdout: bool = False,
) -> _Said:
    """Run it until it has answered a line, ends, or `deadline` passes; nothing of it is left behind. Raises OSError."""
    answer_read, answer_write = os.pipe()
    errors_read, errors_write = os.pipe()
    try:
        process = subprocess.Popen(
            command(answer_write),
            stdin=subprocess.DEVNULL,
            stdout=answer_write if answer_on_stdout else subprocess.DEVNULL,
            stderr=errors_write,
            pass_fds=() if answer_on_stdout else (answer_write,),
            env=environment_for(Path(), environ),
            start_new_session=True,
            cwd="/",
        )
    except BaseException:
        os.close(answer_read)
        os.close(errors_read)
        raise
    finally:
        os.close(answer_write)
        os.close(errors_write)
    try:
        answer, errors = _listen(answer_read, errors_read, deadline)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, min(1.0, deadline - time.monotonic())))
        return _Said(answer, errors, process.poll())
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        os.close(answer_read)
        os.close(errors_read)


def _listen(answer: int, errors: int, deadline: float) -> tuple[bytes, bytes]:
    """What comes from both descriptors until a line has come from `answer`, it ends, or `deadline` passes."""
    texts = {answer: b"", errors: b""}
    with selectors.DefaultSelector() as selector:
        for descriptor in texts:
            os.set_blocking(descriptor, False)
            selector.register(descriptor, selectors.EVENT_READ)
        while answer in selector.get_map() or errors in selector.get_map():
            ready = selector.select(max(0.0, deadline - time.monotonic()))
            if not ready and time.monotonic() >= deadline:
                break
            for key, _ in ready:
                part = os.read(key.fd, _MOST_BYTES)
                if not part:
                    selector.unregister(key.fd)
                # The end of what it complains of says most; an answer is complete or none.
                joined = texts[key.fd] + part
                texts[key.fd] = joined[-_MOST_BYTES:] if key.fd == errors else joined[:_MOST_BYTES]
            if b"\n" in texts[answer] or len(texts[answer]) >= _MOST_BYTES or time.monotonic() >= deadline:
                break
    return texts[answer], texts[errors]


def main(arguments: list[str]) -> None:
    """In the other interpreter: answer for the engine that is named."""
    name, descriptor, token = arguments
    answer = ProbeAnswer(token, __version__, msgspec.Raw(msgspec.json.encode(_here(name))))
    with os.fdopen(int(descriptor), "wb") as pipe:
        pipe.write(msgspec.json.encode(answer) + b"\n")


if __name__ == "__main__":
    main(sys.argv[1:])
