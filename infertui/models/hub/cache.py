"""The local cache of the Hugging Face hub, read without importing huggingface_hub and without the network.

Its layout: `models--ORG--NAME/refs/BRANCH` holds a commit, `snapshots/COMMIT/` links to files in `blobs/`.
The variables that place it are those of huggingface_hub.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from infertui.models.disk import read_at_most
from infertui.paths import expand, home_dir
from infertui.regular_files import is_dir

_TRUE = {"1", "ON", "YES", "TRUE"}
_MODEL_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}(?:/[A-Za-z0-9][A-Za-z0-9._-]{0,95})?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/+-]{0,199}")
_FOLDER_PREFIX = "models--"


class HubSnapshot(Struct, frozen=True):
    """One revision of one model on disk: its directory of links and the commit it stands for."""

    path: Path
    commit: str


def cache_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """Where models are kept: HF_HUB_CACHE, else HUGGINGFACE_HUB_CACHE, else `hub` in HF_HOME.

    It is the folder of huggingface_hub, which takes XDG_CACHE_HOME as it stands, relative or not.
    """
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if environ.get(name):
            return _expanded(environ[name])
    home = environ.get("HF_HOME") or str(
        Path(environ.get("XDG_CACHE_HOME") or home_dir(environ) / ".cache") / "huggingface"
    )
    return _expanded(home) / "hub"


def is_offline(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether the user has forbidden the hub to be asked."""
    return (environ.get("HF_HUB_OFFLINE") or environ.get("TRANSFORMERS_OFFLINE") or "").upper() in _TRUE


def is_model_id(text: str) -> bool:
    """Whether `text` can be the id of a model on the hub: NAME or ORG/NAME."""
    return bool(_MODEL_ID.fullmatch(text)) and "--" not in text and ".." not in text and not text.endswith(".git")


def is_revision(text: str) -> bool:
    """Whether `text` can be a branch, tag or commit, and is harmless as part of a path."""
    return bool(_REVISION.fullmatch(text)) and ".." not in text


def repo_dir(model_id: str) -> Path:
    """The folder of one model in the cache, whether or not it exists."""
    return cache_dir() / (_FOLDER_PREFIX + model_id.replace("/", "--"))


def model_id_of(folder: Path) -> str | None:
    """The id that a folder of the cache stands for; None when it holds no model."""
    name = folder.name.removeprefix(_FOLDER_PREFIX)
    return name.replace("--", "/") if name and name != folder.name else None


def find_snapshot(model_id: str, revision: str = "") -> HubSnapshot | None:
    """The local snapshot of `revision` (a branch, tag or commit; empty: main), or None. Never asks the hub."""
    repo = repo_dir(model_id)
    commit = revision if _COMMIT.fullmatch(revision) else _read_ref(repo, revision or "main")
    if commit is None:
        return None
    path = repo / "snapshots" / commit
    return HubSnapshot(path, commit) if is_dir(path) else None


def newest_snapshot(repo: Path) -> HubSnapshot | None:
    """The snapshot of main, or where main is not there the one that was made last."""
    commit = _read_ref(repo, "main")
    if commit and is_dir(repo / "snapshots" / commit):
        return HubSnapshot(repo / "snapshots" / commit, commit)
    try:
        folders = [entry for entry in os.scandir(repo / "snapshots") if entry.is_dir()]
        newest = max(folders, key=lambda entry: entry.stat().st_mtime, default=None)
    except OSError:
        return None
    return HubSnapshot(Path(newest.path), newest.name) if newest else None


def unfinished_bytes(repo: Path) -> int:
    """Bytes of downloads in `repo` that were begun and not completed."""
    total = 0
    try:
        for entry in os.scandir(repo / "blobs"):
            if entry.name.endswith(".incomplete"):
                total += entry.stat().st_size
    except OSError:
        return total
    return total


def _read_ref(repo: Path, name: str) -> str | None:
    if not is_revision(name):
        return None
    try:
        content = read_at_most(repo / "refs" / name, 100)
    except (OSError, ValueError):
        return None
    commit = (content or b"").decode("ascii", errors="replace").strip()
    return commit if _COMMIT.fullmatch(commit) else None


def _expanded(path: str) -> Path:
    return expand(os.path.expandvars(path))
