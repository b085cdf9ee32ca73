"""Kept offload profiles: a TOML file a model, engine and GPU, in the user's config folder, written by studies.

They are read by `infertui run --profile`, and may be changed by hand.
"""

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Literal

import msgspec
import tomli_w
from msgspec import Struct

from infertui import regular_files
from infertui.config.toml_text import loads
from infertui.errors import ConfigError, StoreError
from infertui.integers import Whole
from infertui.paths import config_dir
from infertui.results.jsonl import store_error
from infertui.results.runs import write_whole
from infertui.text import clean, one_line

_MAX_BYTES = 1 << 20
_HEAD = """\
# How many layers of this model to put on this GPU, as they were measured by `infertui profile`.
# `infertui run MODEL --profile auto` (or fast, balanced, performance, cpu) takes them.
# Memory is in bytes, times in seconds, energy in joules; shares are of the GPU's memory.
"""
ProfileName = Literal["fast", "balanced", "performance", "cpu_fallback", "least_time", "most_tokens", "least_energy"]


class Profile(Struct, frozen=True, omit_defaults=True):
    """A measured point under a name. Bytes, shares of 1, seconds, joules, tokens a second; None is not available.

    `n_ctx` and `n_batch` are what was asked for; `positions` is the context that was in force. `doubt` is why its run
    is marked invalid.
    """

    n_gpu_layers: Whole
    recommended_for: str = ""
    n_ctx: Whole | None = None
    n_batch: Whole | None = None
    positions: Whole | None = None
    throughput: float | None = None
    low: float | None = None
    high: float | None = None
    seconds_per_token: float | None = None
    joules_per_token: float | None = None
    vram: Whole | None = None
    vram_share: float | None = None
    run: str = ""
    doubt: str = ""


class KeptProfiles(Struct, frozen=True, omit_defaults=True):
    """The profiles of a model in one form, with one engine, on one kind of GPU. `quantization` and `dtype` are what was
    asked of the engine; `layers` are all that can be on the GPU; `build` is that of the engine's library; `content`
    marks the model's files, so that others of the same name are told apart."""

    model: str
    engine: str
    profiles: dict[ProfileName, Profile]
    revision: str = ""
    quantization: str = "auto"
    dtype: str = "auto"
    gpu: str = ""
    gpu_memory: Whole | None = None
    layers: Whole = 0
    ceiling: float = 0.85
    study: str = ""
    measured: str = ""
    build: str = ""
    content: str = ""
    schema: Literal[1] = 1


def profiles_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Where they are kept."""
    return config_dir(environ) / "profiles"


def keep_profiles(found: KeptProfiles, environ: Mapping[str, str] = os.environ) -> Path:
    """Keep them in the place of older ones of the same. Returns the file. Raises StoreError."""
    path = profiles_folder(environ) / _file_name(found)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise store_error(path, error) from error
    document = {key: value for key, value in msgspec.to_builtins(found).items() if key != "schema"}
    write_whole(path, (_HEAD + tomli_w.dumps({"schema": found.schema, **document})).encode())
    return path


def each_profiles(
    environ: Mapping[str, str] = os.environ, *, broken: Callable[[StoreError], None] = lambda _: None
) -> Iterator[KeptProfiles]:
    """All that are kept. A file that cannot be read is left out, and `broken` gets the error, which names it."""
    try:
        paths = sorted(profiles_folder(environ).glob("*.toml"))
    except OSError:
        return
    for path in paths:
        try:
            yield _read(path)
        except StoreError as error:
            broken(error)


def _read(path: Path) -> KeptProfiles:
    shown = clean(str(path))
    try:
        tables = loads(regular_files.read(path, _MAX_BYTES), shown)
        return msgspec.convert(tables, KeptProfiles)
    except OSError as error:
        raise store_error(path, error) from error
    except (ConfigError, msgspec.MsgspecError, ValueError) as error:
        raise StoreError(
            f"{shown} holds no profiles: {one_line(error, 200)}",
            remedy="Mend it, or delete it and say `infertui profile` again.",
        ) from error


def _file_name(found: KeptProfiles) -> str:
    """Readable, and another one for whatever differs in a key."""
    keys = (found.model, found.revision, found.engine, found.quantization, found.dtype, found.gpu, found.gpu_memory)
    digest = hashlib.sha256(msgspec.json.encode(keys)).hexdigest()[:8]
    model = found.model.rstrip("/").rpartition("/")[2].removeprefix("synthetic:")
    parts = [model, *([found.quantization] if found.quantization != "auto" else []), found.gpu or "no-gpu", digest]
    return "-".join(re.sub(r"[^a-z0-9.]+", "-", part.lower()).strip("-.")[:40] or "model" for part in parts) + ".toml"
