"""llama-cpp-python: imported once, its devices listed, its log caught: the one place where llama.cpp tells what it
does.
"""

import contextlib
import ctypes
import importlib.metadata
import re
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from infertui.config.engines.registry import SPECS
from infertui.errors import EngineError
from infertui.targets.engine.base import Probe
from infertui.targets.engine.torch_build import NO_CUDA
from infertui.text import clean, one_line

DEBUG, INFO, WARN, ERROR, CONTINUED = 1, 2, 3, 4, 5
"""Levels of ggml's log."""

_OFFLOADED = re.compile(r"offloaded (\d{1,5})/(\d{1,5}) layers to GPU")
_ASSIGNED = re.compile(r"layer +(\d{1,5}) assigned to device (\S{1,40})")
_BUFFER = re.compile(r"(\S{1,40}) +(model|KV|compute|output) buffer size = +(\d{1,9}\.\d\d) MiB")
_KV_TYPES = re.compile(r"K \((\w{1,16})\): .*V \((\w{1,16})\):")
_FLASH_NODE = re.compile(r"kq_mask.*\((FLASH_ATTN_EXT|SOFT_MAX)\)")
_FLASH_SAID = re.compile(r"(?:Flash Attention|flash_attn)\b[^.]*?\b(enabled|disabled)\b", re.IGNORECASE)
_EXPERTS_HELD = re.compile(r"tensor blk\.(\d{1,5})\.ffn_\w{1,20}_c?h?exps\.\w{1,10} .*buffer type overridden to CPU")
_NO_MEMORY = re.compile(r"out of memory|failed to allocate|unable to allocate|not enough memory", re.IGNORECASE)
_MIB: Final = 1 << 20
_KEPT_ERRORS = 8


class Account(Struct, frozen=True):
    """What the log of one load says. None and empty: it does not say.

    `offloaded` counts layers on a GPU, the output layer being one. `buffers` are bytes by device and purpose, as in
    `("CUDA0", "model")`. `flash` says whether the graph computes attention by a flash kernel. `cpu_experts` counts the
    layers whose experts were kept in host memory against the rest of their layer.
    """

    offloaded: int | None
    layers: int | None
    buffers: dict[tuple[str, str], int]
    type_k: str
    type_v: str
    flash: bool | None
    errors: tuple[str, ...]
    cpu_experts: int = 0

    @property
    def out_of_memory(self) -> str:
        """The line that says so, empty where none does."""
        return next((line for line in self.errors if _NO_MEMORY.search(line)), "")

    def on_devices(self) -> int:
        """Bytes of all buffers that are not in host memory."""
        return sum(size for (device, _), size in self.buffers.items() if not is_host(device))


def unfitted(account: Account, asked: int, layers: int) -> str:
    """What says that fewer layers are on the GPU than were asked for (-1: all), with the buffers that there are; empty
    where nothing does. `layers` are those of the model, the output layer being one."""
    wanted = layers if asked < 0 else min(asked, layers)
    if not wanted:
        return ""
    found = account.offloaded or 0
    model = [device for device, purpose in account.buffers if purpose == "model"]
    bare = bool(model) and all(map(is_host, model))
    if found >= wanted and not bare:
        return ""
    sizes = [f"{device} {purpose} {size / _MIB:.0f} MiB" for (device, purpose), size in account.buffers.items()]
    told = f"; its buffers: {', '.join(sizes)}" if sizes else ""
    if not found or bare:
        return f"llama.cpp kept every layer on the CPU, though layers on the GPU were asked for{told}"
    return f"llama.cpp put {found} of {layers} layers on the GPU, though {wanted} were asked for{told}"


def is_host(buffer: str) -> bool:
    """Whether a buffer of that name is in host memory: CPU, CPU_Mapped, CPU_REPACK, CUDA_Host."""
    return buffer.startswith("CPU") or buffer.endswith("_Host") or buffer == "BLAS"


def read_log(lines: Iterable[tuple[int, str]]) -> Account:
    """The account that `lines`, each with its level, give of loading a model and making a context."""
    offloaded: int | None = None
    layers: int | None = None
    assigned: dict[int, str] = {}
    buffers: dict[tuple[str, str], int] = {}
    types = ("", "")
    node = said = ""
    errors: list[str] = []
    held: set[int] = set()
    for level, line in lines:
        if match := _OFFLOADED.search(line):
            offloaded, layers = int(match[1]), int(match[2])
        elif match := _ASSIGNED.search(line):
            assigned[int(match[1])] = match[2]
        elif match := _BUFFER.search(line):
            place = (match[1], match[2])
            buffers[place] = buffers.get(place, 0) + round(float(match[3]) * _MIB)
        elif match := _EXPERTS_HELD.search(line):
            held.add(int(match[1]))
        elif match := _KV_TYPES.search(line):
            types = (match[1], match[2])
        elif match := _FLASH_NODE.search(line):
            node = match[1]
        elif match := _FLASH_SAID.search(line):
            said = match[1].lower()
        if level >= WARN and level != CONTINUED and (level == ERROR or _NO_MEMORY.search(line)):
            errors = [*errors, one_line(line.strip(), 300)][-_KEPT_ERRORS:]
    if assigned and offloaded is None:
        layers = len(assigned)
        offloaded = sum(1 for device in assigned.values() if not is_host(device))
    flash = node == "FLASH_ATTN_EXT" if node else {"enabled": True, "disabled": False}.get(said)
    return Account(offloaded, layers, buffers, *types, flash=flash, errors=tuple(errors), cpu_experts=len(held))


NAME = "llama-cpp"
_DISTRIBUTIONS = {"llama-cpp-python": "llama_cpp", "gguf": "gguf"}
_GPU_KINDS = (1, 2)
_NVIDIA = b"CUDA"
_PCI = re.compile(r"[0-9a-fA-F]{4,8}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-9a-fA-F]")
# What the CUDA backend links to, in the order in which they need each other.
_CUDA_LIBRARIES = ("libcudart.so", "libcublasLt.so", "libcublas.so")


def probe() -> Probe:
    """Usable when llama-cpp-python is installed. It is not imported; gguf is only needed to write files."""
    remedy = SPECS[NAME].install
    if find_spec("llama_cpp") is None:
        return Probe(NAME, available=False, reason="llama_cpp is not installed", remedy=remedy)
    versions = {}
    for distribution in _DISTRIBUTIONS:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[distribution] = importlib.metadata.version(distribution)
    if "llama-cpp-python" not in versions:
        reason = "there is a folder or module named llama_cpp, but not the package"
        return Probe(NAME, available=False, reason=reason, remedy=remedy)
    backends = _backends()
    if backends:
        versions["backends"] = " ".join(backends)
    built = ", built for the CPU only" if backends == ["cpu"] else ""
    # By its files: asked whether it can offload, a build for CUDA says no as well where there is no driver.
    cuda = NO_CUDA if backends and "cuda" not in backends else ""
    missing = "" if "gguf" in versions else "; without the package gguf it runs .gguf files only"
    return Probe(NAME, available=True, reason=f"installed{built}{missing}", versions=versions, cuda=cuda)


def _backends() -> list[str]:
    """The computing backends that the installed build has, by the names of its files; empty where that says nothing."""
    spec = find_spec("llama_cpp")
    folder = Path(spec.origin or "").parent / "lib" if spec else Path()
    found = (re.match(r"libggml-(?!base)([a-z]+)", path.name) for path in folder.glob("libggml-*"))
    return sorted({match[1] for match in found if match})


class GgmlDevice(Struct, frozen=True):
    """One device of ggml: `handle` is its address there, `pci` its bus id where it has one. `gpu`: one of NVIDIA's."""

    handle: int
    name: str
    description: str
    gpu: bool
    pci: str = ""


class _Properties(ctypes.Structure):
    # The first fields of ggml_backend_dev_props, and room for those that follow.
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("description", ctypes.c_char_p),
        ("memory_free", ctypes.c_size_t),
        ("memory_total", ctypes.c_size_t),
        ("type", ctypes.c_int),
        ("device_id", ctypes.c_char_p),
        ("rest", ctypes.c_char * 256),
    )


class _Override(ctypes.Structure):
    # llama_model_tensor_buft_override: tensors whose names match a pattern, and where they go.
    _fields_ = (("pattern", ctypes.c_char_p), ("buffer_type", ctypes.c_void_p))


class Library:
    """The loaded library: `api` is the module of C functions, `path` the shared object it calls."""

    def __init__(self) -> None:
        self._lines: deque[tuple[int, str]] = deque(maxlen=50_000)
        self._partial = ""
        self._catching = False
        self.api: Any = _import()
        self.path = str(self.api.llama_cpp._lib._name)
        self.calls = ctypes.CDLL(self.path)
        # ctypes keeps no reference to a callback that C holds.
        self._callback = self.api.llama_log_callback(self._hear)
        self.api.llama_log_set(self._callback, ctypes.c_void_p(0))
        self.api.llama_backend_init()

    @contextlib.contextmanager
    def catching(self) -> Iterator[list[tuple[int, str]]]:
        """Gather what is logged meanwhile, with levels; the list is filled at the end."""
        caught: list[tuple[int, str]] = []
        self._lines.clear()
        self._catching = True
        try:
            yield caught
        finally:
            self._catching = False
            caught += self._lines
            self._lines.clear()

    def _hear(self, level: int, text: bytes, _: object) -> None:
        """A line of the log, or a piece of one. Debug lines are read while loading and never shown."""
        if level == DEBUG and not self._catching:
            return
        line = text.decode("utf-8", errors="replace")
        if self._catching:
            self._lines.append((level, line))
        if level in (INFO, WARN, ERROR):
            sys.stderr.write(clean(line.rstrip("\n")) + "\n")

    def devices(self) -> list[GgmlDevice]:
        """Every device that this build of llama.cpp sees, in its order; empty where the build does not tell."""
        calls = self.calls
        try:
            calls.ggml_backend_dev_count.restype = ctypes.c_size_t
            calls.ggml_backend_dev_get.restype = ctypes.c_void_p
            calls.ggml_backend_dev_get.argtypes = (ctypes.c_size_t,)
            calls.ggml_backend_dev_get_props.restype = None
            calls.ggml_backend_dev_get_props.argtypes = (ctypes.c_void_p, ctypes.c_void_p)
        except AttributeError:
            return []
        return [self._device(calls.ggml_backend_dev_get(index)) for index in range(calls.ggml_backend_dev_count())]

    def _device(self, handle: int) -> GgmlDevice:
        found = _Properties()
        self.calls.ggml_backend_dev_get_props(handle, ctypes.byref(found))
        pci = _text(found.device_id) if found.device_id else ""
        return GgmlDevice(
            handle,
            name=_text(found.name),
            description=_text(found.description),
            gpu=found.type in _GPU_KINDS and (found.name or b"").startswith(_NVIDIA),
            pci=pci if _PCI.fullmatch(pci) else "",
        )

    def experts_on_cpu(self, layers: int) -> Any:
        """Overrides for `llama_model_params.tensor_buft_overrides`: experts of the first layers into host memory. It
        has to live until the model is loaded. Raises EngineError for a version without."""
        if "tensor_buft_overrides" not in dict(self.api.llama_model_params._fields_):
            raise EngineError(
                "engine.llama_cpp.n_cpu_moe was asked for, and this version of llama-cpp-python has no overrides of "
                "where tensors are held",
                remedy='pip install -U "llama-cpp-python>=0.3.36"',
            )
        self.calls.ggml_backend_cpu_buffer_type.restype = ctypes.c_void_p
        host = self.calls.ggml_backend_cpu_buffer_type()
        names = (rf"blk\.{layer}\.ffn_(up|down|gate|gate_up)_(ch|)exps" for layer in range(layers))
        return (_Override * (layers + 1))(*(_Override(name.encode(), host) for name in names), _Override(None, None))

    def versions(self) -> dict[str, str]:
        """Of the packages and of llama.cpp itself."""
        found = {name: version for name, version in probe().versions.items() if name != "backends"}
        version = getattr(self.api, "llama_version", None)
        if version is not None:
            found["llama.cpp"] = _text(version())
        return found

    def paths(self) -> dict[str, str]:
        """The files from which they were loaded."""
        return {"llama-cpp-python": str(self.api.__file__), "llama.cpp": self.path}


_LIBRARY: list[Library] = []


def library() -> Library:
    """The library, loaded when first asked for. Raises EngineError where it cannot be."""
    if not _LIBRARY:
        status = probe()
        if not status.available:
            raise EngineError(f"llama.cpp cannot be used: {status.reason}", remedy=status.remedy)
        _LIBRARY.append(Library())
    return _LIBRARY[0]


def _import() -> Any:
    try:
        try:
            import llama_cpp
        except (OSError, RuntimeError) as error:
            if "libcu" not in str(error):
                raise
            _preload_cuda()
            import llama_cpp
    except Exception as error:
        raise EngineError(
            f"llama-cpp-python cannot be imported: {one_line(error, 400)}",
            remedy="A CUDA build needs libcudart and libcublas of its CUDA version: on LD_LIBRARY_PATH, or from pip.",
        ) from error
    if not hasattr(llama_cpp, "llama_n_ctx_seq") or not hasattr(llama_cpp, "LLAMA_FLASH_ATTN_TYPE_AUTO"):
        raise EngineError(
            f"this version of llama-cpp-python, {clean(str(getattr(llama_cpp, '__version__', '?')))}, is too old",
            remedy='pip install -U "llama-cpp-python>=0.3.36"',
        )
    return llama_cpp


def _preload_cuda() -> None:
    """Load CUDA's libraries from the pip packages of NVIDIA, as PyTorch does, for a build that only names them."""
    spec = find_spec("nvidia")
    for name in _CUDA_LIBRARIES:
        for folder in spec.submodule_search_locations or () if spec else ():
            for path in sorted(Path(folder).glob(f"*/lib/{name}*")):
                with contextlib.suppress(OSError):
                    ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)


def _text(value: bytes | None) -> str:
    return one_line((value or b"").decode("utf-8", errors="replace"))
