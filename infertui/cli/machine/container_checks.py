"""What `infertui doctor --container` looks at: on a host, what running our containers takes; in one, what it was given.

Nothing is changed, and no credential read: of a login only that there is one.
"""

import json
import os
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from infertui.cli.machine.doctor import Check
from infertui.env_file import with_env_file
from infertui.models.hub import cache
from infertui.paths import cache_dir, home_dir, state_dir
from infertui.regular_files import exists, is_file, read
from infertui.telemetry.host import container
from infertui.text import one_line
from infertui.units import format_bytes

REGISTRY = "nvcr.io"
LEAST_DRIVER, NEWER_DRIVER = 525, 580
"""The oldest drivers of CUDA 12 and of CUDA 13, for which PyTorch's and TensorRT-LLM's newer packages are built."""
_SMALL_GPU_BYTES = 8 * 10**9
_IMAGE_BYTES = 40 * 10**9
_LEAST_SHM = 1 << 30
_TIMEOUT_S = 15.0
_CONFIG_BYTES = 1 << 20
_DOCKER = "Install Docker Engine: https://docs.docker.com/engine/install/"
_TOOLKIT = (
    "sudo apt-get install -y nvidia-container-toolkit (its repository: https://docs.nvidia.com/datacenter/cloud-native/"
    "container-toolkit/latest/install-guide.html), then: sudo nvidia-ctk runtime configure --runtime=docker && sudo "
    "systemctl restart docker"
)
_LOGIN = f"docker login {REGISTRY} (user $oauthtoken, password an API key of https://org.ngc.nvidia.com/setup)"


class Said(NamedTuple):
    """What a command said; `code` is None where there is none of that name, or it did not end."""

    code: int | None
    out: str
    errors: str


def examine_containers(root: Path = Path("/"), environ: Mapping[str, str] = os.environ) -> list[Check]:
    """The side that this process is on. Takes some seconds: the engine's client is asked."""
    kind = container(root, environ)
    return list(_inside(kind, root, environ) if kind else _outside(root, environ))


def _outside(root: Path, environ: Mapping[str, str]) -> Iterator[Check]:
    yield from _driver()
    info = yield from _docker(environ)
    yield _compose(environ)
    yield _toolkit(root, environ, info)
    yield _login(environ)
    place = Path(str(info.get("DockerRootDir") or "/var/lib/docker"))
    if exists(place):
        free = shutil.disk_usage(place).free
        enough = free > _IMAGE_BYTES
        remedy = "" if enough else "docker system df tells what takes the room; docker image prune frees some."
        takes = f"an image with TensorRT-LLM takes some {_IMAGE_BYTES // 10**9} GB"
        yield _check("disk", enough, f"{format_bytes(free)} free in {place}; {takes}", remedy)
    yield _user(environ)


def _driver() -> Iterator[Check]:
    from infertui.telemetry.nvml import Nvml, NvmlUnavailableError

    try:
        nvml = Nvml.open()
    except NvmlUnavailableError as error:
        remedy = f"Install NVIDIA's driver, {LEAST_DRIVER} or newer; without a GPU: docker compose --profile cpu up."
        yield _check("driver", False, error.message, remedy)
        return
    try:
        version = next((gpu.driver for gpu in nvml.devices() if gpu.driver), "") or ""
        major = version.partition(".")[0]
        number = int(major) if major.isdecimal() else NEWER_DRIVER
        remedy = f"Install NVIDIA's driver {LEAST_DRIVER} or newer." if number < LEAST_DRIVER else ""
        detail = f"NVIDIA driver {version or 'of unknown version'}"
        if LEAST_DRIVER <= number < NEWER_DRIVER:
            detail += f"; packages for CUDA 13, PyTorch's default among them, take {NEWER_DRIVER} or newer"
        yield _check("driver", not remedy, detail, remedy)
        for gpu in nvml.devices():
            if gpu.memory_total is not None and not gpu.mig:
                small = gpu.memory_total < _SMALL_GPU_BYTES
                detail = f"{gpu.name}, {format_bytes(gpu.memory_total)}"
                detail += ": for models up to some 3 G parameters, or quantized ones" if small else ""
                yield _check(f"GPU {gpu.label}", True, detail)
    finally:
        nvml.close()


def _docker(environ: Mapping[str, str]) -> Any:
    """The client and the engine behind it; what the latter says of itself, for the other checks."""
    client = _ask(["docker", "--version"], environ)
    if client.code is None:
        podman = _ask(["podman", "--version"], environ)
        found = f"no docker; {podman.out}" if podman.code == 0 else "docker was not found"
        yield _check("docker", False, found, _DOCKER)
        return {}
    answer = _ask(["docker", "info", "--format", "{{json .}}"], environ)
    info = _object(answer.out)
    problem = "; ".join(map(str, info.get("ServerErrors") or ())) or (answer.errors if answer.code else "")
    if answer.code is None:
        problem = f"did not answer within {_TIMEOUT_S:g} s"
    if not problem and info.get("ServerVersion"):
        yield _check("docker", True, f"{client.out}, engine {info['ServerVersion']}")
        return info
    allowed = "permission denied" in problem.lower()
    remedy = 'sudo usermod -aG docker "$USER", and log in again' if allowed else "sudo systemctl enable --now docker"
    yield _check("docker", False, f"{client.out}, but its engine: {problem or 'does not run'}", remedy)
    return {}


def _compose(environ: Mapping[str, str]) -> Check:
    for command in (["docker", "compose", "version"], ["docker-compose", "--version"]):
        answer = _ask(command, environ)
        if answer.code == 0:
            return _check("compose", True, answer.out.partition("\n")[0])
    remedy = "sudo apt-get install docker-compose-plugin"
    return _check("compose", False, "neither docker compose nor docker-compose", remedy)


def _toolkit(root: Path, environ: Mapping[str, str], info: Mapping[str, Any]) -> Check:
    tool = _ask(["nvidia-ctk", "--version"], environ)
    known = "nvidia" in (info.get("Runtimes") or {})
    described = any(exists(root / folder / "nvidia.yaml") for folder in ("etc/cdi", "var/run/cdi"))
    if tool.code is None and not known and not described:
        return _check("container toolkit", False, "the NVIDIA Container Toolkit was not found", _TOOLKIT)
    name = tool.out.partition("\n")[0] or "NVIDIA Container Toolkit"
    if info and not known and not described:
        remedy = "sudo nvidia-ctk runtime configure --runtime=docker && sudo systemctl restart docker"
        return _check("container toolkit", False, f"{name}, but Docker does not know its runtime", remedy)
    return _check("container toolkit", True, name)


def _login(environ: Mapping[str, str]) -> Check:
    path = Path(environ.get("DOCKER_CONFIG") or home_dir(environ) / ".docker") / "config.json"
    try:
        kept = _object(read(path, _CONFIG_BYTES).decode("utf-8"))
    except FileNotFoundError:
        kept = {}
    except (OSError, ValueError) as error:
        return _check("NGC login", False, f"{path} cannot be read: {error}", _LOGIN)
    known = any(REGISTRY in (kept.get(table) or {}) for table in ("auths", "credHelpers"))
    detail = f"{REGISTRY}: there is a login" if known else f"no login at {REGISTRY}, where TensorRT-LLM's image is"
    return _check("NGC login", known, detail, "" if known else _LOGIN)


def _user(environ: Mapping[str, str]) -> Check:
    variables, own = with_env_file(environ), (os.getuid(), os.getgid())
    asked = tuple(str(variables.get(name) or "1000") for name in ("UID", "GID"))
    same = asked == tuple(map(str, own))
    remedy = "" if same else 'printf "UID=%s\\nGID=%s\\n" "$(id -u)" "$(id -g)" >> .env'
    detail = f"compose.yaml runs containers as {':'.join(asked)}"
    return _check("user", same, detail + ("" if same else f", and you are {own[0]}:{own[1]}"), remedy)


def _inside(kind: str, root: Path, environ: Mapping[str, str]) -> Iterator[Check]:
    yield _check("container", True, kind)
    yield from _gpu(root, environ)
    yield _compiler()
    places = {
        "reports": Path("reports"), "models": cache.cache_dir(environ), "cache": cache_dir(environ),
        "state": state_dir(environ), "home": home_dir(environ),
    }  # fmt: skip
    for name, path in places.items():
        yield _writable(name, path)
    shm = root / "dev/shm"
    if exists(shm):
        size = shutil.disk_usage(shm).total
        remedy = "" if size >= _LEAST_SHM else "Start it with --ipc=host, or --shm-size=8g: engines pass tensors there."
        yield _check("shared memory", size >= _LEAST_SHM, f"{format_bytes(size)} in {shm}", remedy)
    if os.geteuid() == 0:
        remedy = 'docker run --user "$(id -u):$(id -g)"; compose.yaml does it by UID and GID.'
        yield _check("user", False, "runs as root: what it writes into folders of the host belongs to root", remedy)
    else:
        yield _check("user", True, f"{os.geteuid()}:{os.getegid()}")


def _gpu(root: Path, environ: Mapping[str, str]) -> Iterator[Check]:
    from infertui.telemetry.nvml import Nvml, NvmlUnavailableError

    try:
        nvml = Nvml.open()
    except NvmlUnavailableError as error:
        asked = environ.get("NVIDIA_VISIBLE_DEVICES", "")
        given = any(exists(root / "dev" / name) for name in ("nvidiactl", "nvidia0", "dxg"))
        detail = error.message + ("; devices are here" if given else "; no device was given to this container")
        remedy = "Start it with --gpus all (compose: any profile but cpu); on the host: infertui doctor --container."
        if asked in ("void", "none"):
            remedy = f"NVIDIA_VISIBLE_DEVICES={asked} hides them: leave it out. {remedy}"
        yield _check("GPU", False, detail, remedy)
        return
    try:
        for gpu in nvml.devices():
            memory = "" if gpu.memory_total is None else f", {format_bytes(gpu.memory_total)}"
            yield _check(f"GPU {gpu.label}", True, f"{gpu.name}{memory}, driver {gpu.driver}")
    finally:
        nvml.close()


def _compiler() -> Check:
    found = next((path for name in ("c++", "g++", "clang++") if (path := shutil.which(name))), "")
    header = is_file(Path(sysconfig.get_path("include")) / "Python.h")
    if found and header:
        return _check("compiler", True, f"{found}, with Python's headers")
    lacks = "no C++ compiler" if not found else f"{found}, but Python's headers are missing"
    remedy = 'Build the image with --build-arg PACKAGES="g++ python3-dev"; without it: engine.mode = eager.'
    return _check("compiler", False, f"{lacks}: compiled modes need it", remedy)


def _writable(name: str, path: Path) -> Check:
    there = path.absolute()
    while not exists(there) and there != there.parent:
        there = there.parent
    fits = os.access(there, os.W_OK | os.X_OK)
    owner = there.stat().st_uid
    remedy = "" if fits else f"It belongs to user {owner}: start with --user {owner}, or mount a folder of yours there."
    return _check(name, fits, f"{path} is {'' if fits else 'not '}writable", remedy)


def _check(name: str, ok: bool, detail: str, remedy: str = "") -> Check:
    return Check("container", name, ok=ok, detail=one_line(detail, 400), remedy=remedy)


def _ask(command: list[str], environ: Mapping[str, str]) -> Said:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT_S, check=False,
            stdin=subprocess.DEVNULL, env=dict(environ),
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return Said(None, "", "")
    return Said(done.returncode, done.stdout.strip(), one_line(done.stderr.strip(), 300))


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
