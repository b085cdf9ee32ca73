"""Download a model from the Hugging Face hub into its local cache, showing progress and resuming what was cut off."""

import errno
import glob
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from msgspec.structs import replace

from infertui.errors import InfertuiError, ModelError, UsageError
from infertui.models.hub import cache
from infertui.models.hub.progress import PullProgress
from infertui.models.hub.transfer import PARTIAL_SUFFIX, HubAccess, RemoteFile, TransferStopped, fetch
from infertui.models.weights import choose_weights
from infertui.text import clean, masked, one_line
from infertui.units import format_bytes

if TYPE_CHECKING:
    from huggingface_hub.hf_api import ModelInfo

RESUME_HINT = "What has arrived is kept: downloading it again resumes."

_PARALLEL = 4
_REPORT_EVERY_S = 0.1
_STOP_WITHIN_S = 3.0
# Besides weights: configs, tokenizers in all their forms, chat templates, and code for trust_remote_code.
_SUPPORT_FILES = (".json", ".model", ".txt", ".jinja", ".tiktoken", ".py")
_DIGEST = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
# Plain HTTP is refused by the hub above this size; huggingface_hub has another way.
_MAX_HTTP_BYTES = 50 * 10**9


def pull(
    model_id: str,
    revision: str = "",
    *,
    progress: Callable[[PullProgress], None] = lambda _: None,
    token: str | None = None,
    attempts: int = 5,
) -> Path:
    """Bring `model_id` at `revision` (a branch, tag or commit; empty: main) here and return its snapshot directory.

    Only what loading needs is downloaded: safetensors (or .bin where there are none), configs, tokenizers, templates
    and code. Every file is checked against the hub's checksum. `progress` is called in the calling thread a few times
    a second and at the end. `token` defaults to HF_TOKEN or the stored login; `attempts` is how often a connection
    may fail in a row without a byte gained.

    Raises UsageError for an id that cannot be one, and ModelError with a remedy for everything else that can go
    wrong. KeyboardInterrupt leaves the partial files, from which the next call goes on.
    """
    if not cache.is_model_id(model_id):
        raise UsageError(f"{_shown(repr(model_id))} is not the id of a model on the hub (NAME or ORG/NAME)")
    if revision and not cache.is_revision(revision):
        raise UsageError(f"revision {_shown(repr(revision))} is not a branch, tag or commit")
    if cache.is_offline():
        raise ModelError(
            f"{model_id} cannot be downloaded: HF_HUB_OFFLINE is set",
            remedy=f"Unset HF_HUB_OFFLINE (and TRANSFORMERS_OFFLINE), or copy the model into {cache.cache_dir()}.",
        )
    _check_endpoint(os.environ.get("HF_ENDPOINT", ""))
    with _clear_errors(model_id, revision):
        return _pull(model_id, revision, progress, token, attempts)


def _check_endpoint(given: str) -> None:
    """Raise UsageError for what huggingface_hub would stumble over, with a password on standard error."""
    try:
        _ = urlsplit(given).port
    except ValueError:
        raise UsageError(
            f"HF_ENDPOINT is not the URL of a hub: {_shown(given)}",
            remedy="As in https://huggingface.co. Characters such as / in a password are written as %2F.",
        ) from None


def _pull(
    model_id: str, revision: str, progress: Callable[[PullProgress], None], token: str | None, attempts: int
) -> Path:
    from huggingface_hub import HfApi, hf_hub_url, snapshot_download

    # Its warnings would be printed across the progress; what goes wrong is raised here.
    _hub_utils().logging.set_verbosity_error()
    with _answers_of_a_hub():
        info = HfApi(token=token).model_info(model_id, revision=revision or None, files_metadata=True)
    names = _wanted(info)
    if not choose_weights(names):
        raise ModelError(
            f"{model_id} holds no weights that can be used (*.safetensors or *.bin)",
            remedy="Models in other formats (GGUF, ONNX, TensorFlow) have to be converted first.",
        )
    files = _known_files(info, names)
    tally = _Tally(files)
    blobs = cache.repo_dir(model_id) / "blobs"
    blobs.mkdir(parents=True, exist_ok=True)
    _check_disk(blobs, files)

    hub = _hub(token, attempts)
    commit = info.sha

    def one(file: RemoteFile, stop: Event) -> None:
        url = hf_hub_url(model_id, file.name, revision=commit)
        fetch(hub, url, file, blobs / file.digest, stop=stop, advance=partial(tally.add, file.name))
        tally.finish()

    progress(tally.now())
    _in_parallel(files, one, lambda: progress(tally.now()))
    # The blobs are in place: this links them into a snapshot, and brings what had no checksum or is too large for HTTP.
    with _answers_of_a_hub():
        snapshot = snapshot_download(
            model_id,
            revision=revision or None,
            allow_patterns=[glob.escape(name) for name in names],
            token=token,
            tqdm_class=_silent_bar(),
        )
    path = Path(snapshot)
    missing = [name for name in names if not (path / name).is_file()]
    if missing:
        raise ModelError(
            f"{model_id} is incomplete: {_shown(missing[0])} did not arrive ({len(missing)} missing in all)",
            remedy=RESUME_HINT,
        )
    progress(tally.now())
    return path


def _wanted(info: "ModelInfo") -> list[str]:
    names = [sibling.rfilename for sibling in info.siblings or []]
    harmless = [name for name in names if not name.startswith("/") and ".." not in name.split("/")]
    support = [name for name in harmless if "/" not in name and name.endswith(_SUPPORT_FILES)]
    return sorted({*choose_weights(harmless), *support})


def _known_files(info: "ModelInfo", names: list[str]) -> list[RemoteFile]:
    """The files whose size and checksum the hub has told, largest first: the long ones start at once."""
    files = []
    for sibling in info.siblings or []:
        size = sibling.lfs.size if sibling.lfs else sibling.size
        digest = sibling.lfs.sha256 if sibling.lfs else sibling.blob_id
        if sibling.rfilename not in names or not isinstance(size, int) or not isinstance(digest, str):
            continue
        if _DIGEST.fullmatch(digest) and 0 <= size <= _MAX_HTTP_BYTES:
            files.append(RemoteFile(sibling.rfilename, size, digest))
    unique = {file.digest: file for file in files}
    return sorted(unique.values(), key=lambda file: file.size, reverse=True)


def _check_disk(blobs: Path, files: list[RemoteFile]) -> None:
    needed = 0
    for file in files:
        if not (blobs / file.digest).exists():
            begun = blobs / (file.digest + PARTIAL_SUFFIX)
            needed += file.size - (min(file.size, begun.stat().st_size) if begun.exists() else 0)
    free = shutil.disk_usage(blobs).free
    if needed > free:
        raise ModelError(
            f"the download needs {format_bytes(needed)}, but {_shown(str(cache.cache_dir()))} has "
            f"{format_bytes(free)} free",
            remedy="Free some space, or set HF_HOME to a directory on another disk.",
        )


def _hub_utils() -> Any:
    return import_module("huggingface_hub.utils")  # exports by name at run time, which type checkers cannot see


def _network_error() -> type[Exception]:
    """The root of the hub's errors and of those of its HTTP library, whichever that is in this version."""
    from huggingface_hub.errors import HfHubHTTPError

    return cast(type[Exception], HfHubHTTPError.__bases__[0])


def _hub(token: str | None, attempts: int) -> HubAccess:
    from huggingface_hub import constants

    utils = _hub_utils()
    return HubAccess(
        session=utils.get_session(),
        headers=utils.build_hf_headers(token=token, library_name="infertui"),
        network_error=_network_error(),
        raise_for_status=utils.hf_raise_for_status,
        timeout_s=constants.HF_HUB_DOWNLOAD_TIMEOUT,
        attempts=attempts,
    )


def _silent_bar() -> Any:
    base = _hub_utils().tqdm

    def silenced(self: Any, *args: Any, **options: Any) -> None:
        base.__init__(self, *args, **{**options, "disable": True})

    return type("SilentBar", (base,), {"__init__": silenced})


class _Tally:
    """Counts bytes and files as the threads report them."""

    def __init__(self, files: list[RemoteFile]) -> None:
        self._lock = Lock()
        self._now = PullProgress(0, sum(file.size for file in files), 0, "", 0, len(files))

    def add(self, name: str, gained: int, on_disk: bool) -> None:
        with self._lock:
            self._now = replace(
                self._now,
                done_bytes=self._now.done_bytes + gained,
                resumed_bytes=self._now.resumed_bytes + (gained if on_disk else 0),
                file=name,
            )

    def finish(self) -> None:
        with self._lock:
            self._now = replace(self._now, files_done=self._now.files_done + 1)

    def now(self) -> PullProgress:
        with self._lock:
            return self._now


def _in_parallel(files: list[RemoteFile], one: Callable[[RemoteFile, Event], None], report: Callable[[], None]) -> None:
    """Run `one` for every file on a few threads; on the first failure stop the others and raise it."""
    waiting: SimpleQueue[RemoteFile] = SimpleQueue()
    for file in files:
        waiting.put(file)
    stop = Event()
    failures: SimpleQueue[BaseException] = SimpleQueue()

    def work() -> None:
        while not stop.is_set():
            try:
                one(waiting.get_nowait(), stop)
            except (Empty, TransferStopped):
                return
            except BaseException as error:  # noqa: BLE001 - handed to the calling thread, which raises it
                failures.put(error)
                stop.set()

    # Daemons: whoever interrupts does not wait for a connection that stalls.
    threads = [Thread(target=work, name="pull", daemon=True) for _ in range(min(_PARALLEL, len(files)))]
    for thread in threads:
        thread.start()
    try:
        while any(thread.is_alive() for thread in threads):
            next(thread for thread in threads if thread.is_alive()).join(_REPORT_EVERY_S)
            report()
    except BaseException:
        stop.set()
        for thread in threads:
            thread.join(_STOP_WITHIN_S / len(threads))
        raise
    if not failures.empty():
        raise failures.get()


@contextmanager
def _clear_errors(model_id: str, revision: str) -> Iterator[None]:
    """Turn what huggingface_hub, its HTTP library and the disk raise into a ModelError that says what to do."""
    try:
        from huggingface_hub import constants, errors

        _network_error()
    except (ImportError, ValueError) as error:  # it looks at its variables while it is imported
        raise ModelError(
            f"huggingface_hub cannot be used as it is set up: {_shown(str(error))}",
            remedy="Check HF_ENDPOINT, the other HF_ variables and the proxy variables.",
        ) from error
    endpoint = _shown(constants.ENDPOINT)
    token = "Set HF_TOKEN to a token of an account that may read it (or run `hf auth login`)."  # noqa: S105
    try:
        yield
    except InfertuiError:
        raise
    except errors.GatedRepoError as error:
        raise ModelError(
            f"{model_id} is gated: its owner wants to know who downloads it",
            remedy=f"Accept its terms at {endpoint}/{model_id}, then: {token}",
        ) from error
    except errors.RevisionNotFoundError as error:
        raise ModelError(f"{model_id} has no revision {revision or 'main'}", remedy="Check --revision.") from error
    except errors.RepositoryNotFoundError as error:
        raise ModelError(
            f"{model_id} is not on {endpoint}, or it is private",
            remedy=f"Check the spelling. For a private model: {token}",
        ) from error
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        raise ModelError(
            f"{endpoint} refuses {model_id} (HTTP {status})"
            if status in {401, 403}
            else f"{endpoint} answered HTTP {status} for {model_id}",
            remedy=token if status in {401, 403} else f"Try again later. {RESUME_HINT}",
        ) from error
    except (_network_error(), errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled) as error:
        raise ModelError(
            f"the connection to {endpoint} failed: {_shown(str(error)) or type(error).__name__}",
            remedy=f"Check the network, the proxy variables and HF_ENDPOINT. {RESUME_HINT}",
        ) from error
    except OSError as error:
        raise _disk_error(error) from error
    except (ImportError, ValueError) as error:
        raise ModelError(
            f"{endpoint} cannot be asked: {_shown(str(error)) or type(error).__name__}",
            remedy="Check HF_ENDPOINT and the proxy variables.",
        ) from error


@contextmanager
def _answers_of_a_hub() -> Iterator[None]:
    """Name the server when huggingface_hub stumbles over what it answers."""
    try:
        yield
    except (OSError, _network_error()):
        raise
    except (AssertionError, AttributeError, KeyError, TypeError, ValueError) as error:
        from huggingface_hub import constants

        raise ModelError(
            f"{_shown(constants.ENDPOINT)} does not answer like a Hugging Face hub: {_shown(str(error))}",
            remedy="Check HF_ENDPOINT and the proxy variables.",
        ) from error


def _disk_error(error: OSError) -> ModelError:
    where = _shown(str(error.filename or cache.cache_dir()))
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return ModelError(
            f"the disk is full: {where}",
            remedy=f"Free some space, or set HF_HOME to a directory on another disk. {RESUME_HINT}",
        )
    return ModelError(
        f"{where} cannot be written: {error.strerror or _shown(str(error))}",
        remedy="Set HF_HOME to a directory that you may write to.",
    )


def _shown(text: str) -> str:
    return one_line(masked(clean(text), bare=True))
