"""A Hugging Face hub of our own: a real HTTP server on the loopback that speaks its protocol for one small model."""

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).parents[2]
COMMIT = "c0ffee" * 6 + "c0de"
MODEL = "acme/tiny"
CONFIG = (ROOT / "data/models/nano/config.json").read_bytes()
WEIGHTS = bytes(range(256)) * 4096 * 3  # 3 MiB
_PIECE = 16 * 1024


class FakeHub:
    """What the server holds, how it misbehaves, and what it has seen."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {
            "config.json": CONFIG,
            "tokenizer.json": b'{"version": "1.0"}',
            "chat_template.jinja": b"{{ messages }}",
            "model.safetensors": WEIGHTS,
            "consolidated.safetensors": b"the same weights again",
            "pytorch_model.bin": b"the same weights once more",
            "model.Q4.gguf": b"gguf",
            "README.md": b"# tiny",
            "onnx/model.onnx": b"onnx",
        }
        self.cut_after: int | None = None
        """Drop the connection of a weights file after this many bytes, `cuts` times."""
        self.cuts = 0
        self.stall_after: int | None = None
        """Send this many bytes of a weights file, then nothing until `released`."""
        self.stalled = threading.Event()
        self.released = threading.Event()
        self.ignore_ranges = False
        self.corrupt = False
        self.announced_size: int | None = None
        self.refusal: tuple[int, str] | None = None
        """Status and X-Error-Code with which every request is answered."""
        self.html = False
        self.hide_checksums = False
        self.requests: list[tuple[str, str, str]] = []
        """Method, path and Range header of every request."""
        self.sent: dict[str, int] = {}
        """Content bytes sent, by file."""
        self.tokens: set[str] = set()
        self.endpoint = ""

    def ranges(self, name: str) -> list[str]:
        """The Range headers with which `name` was asked for, empty for none."""
        return [asked for method, path, asked in self.requests if method == "GET" and path.endswith(name)]

    def info(self) -> dict[str, object]:
        siblings = []
        for name, content in self.files.items():
            sibling: dict[str, object] = {"rfilename": name}
            if not self.hide_checksums:
                size = self.announced_size or len(content) if is_large(name) else len(content)
                sibling |= {"size": size, "blobId": git_digest(content)}
                if is_large(name):
                    sibling["lfs"] = {"size": size, "sha256": digest(name, content), "pointerSize": 134}
            siblings.append(sibling)
        return {"_id": "1", "id": MODEL, "modelId": MODEL, "sha": COMMIT, "siblings": siblings, "tags": []}

    def tree(self) -> list[dict[str, object]]:
        entries: list[dict[str, object]] = []
        for name, content in self.files.items():
            entry: dict[str, object] = {
                "type": "file", "path": name, "size": len(content), "oid": git_digest(content),
            }  # fmt: skip
            if is_large(name):
                entry["lfs"] = {"oid": digest(name, content), "size": len(content), "pointerSize": 134}
            entries.append(entry)
        return entries


def is_large(name: str) -> bool:
    return name.endswith((".safetensors", ".bin", ".gguf", ".onnx"))


def git_digest(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def digest(name: str, content: bytes) -> str:
    return hashlib.sha256(content).hexdigest() if is_large(name) else git_digest(content)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: FakeHub

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(with_content=False)

    def do_GET(self) -> None:
        self._answer(with_content=True)

    def _answer(self, *, with_content: bool) -> None:
        hub, path = self.hub, unquote(urlsplit(self.path).path)
        hub.requests.append((self.command, path, self.headers.get("Range", "")))
        hub.tokens.add(self.headers.get("Authorization", ""))
        if hub.refusal:
            status, code = hub.refusal
            self._send(status, b'{"error": "no"}', {"X-Error-Code": code} if code else {})
        elif hub.html:
            self._send(200, b"<html>welcome to the hotel</html>", {"Content-Type": "text/html"})
        elif path in {f"/api/models/{MODEL}", *(f"/api/models/{MODEL}/revision/{name}" for name in ("main", COMMIT))}:
            self._send_json(hub.info())
        elif path.startswith(f"/api/models/{MODEL}/revision/"):
            self._send(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        elif path.startswith(f"/api/models/{MODEL}/tree/"):
            self._send_json(hub.tree())
        elif path.startswith(f"/{MODEL}/resolve/"):
            name = path.split("/", 5)[-1]
            if name in hub.files:
                self._send_file(name, with_content=with_content)
            else:
                self._send(404, b"{}", {"X-Error-Code": "EntryNotFound"})
        else:
            self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"})

    def _send_json(self, document: object) -> None:
        self._send(200, json.dumps(document).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _send_file(self, name: str, *, with_content: bool) -> None:
        hub, content = self.hub, self.hub.files[name]
        start = 0
        asked = self.headers.get("Range")
        if asked and not hub.ignore_ranges:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
        self.send_response(206 if start else 200)
        self.send_header("ETag", f'"{digest(name, content)}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(content) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        if with_content:
            self._send_content(name, content, start)

    def _send_content(self, name: str, content: bytes, start: int) -> None:
        hub = self.hub
        if hub.corrupt and is_large(name):
            content = bytes(len(content))
        for offset in range(start, len(content), _PIECE):
            gone = offset - start
            if is_large(name) and hub.cuts and hub.cut_after is not None and gone >= hub.cut_after:
                hub.cuts -= 1
                self.close_connection = True
                return
            if is_large(name) and hub.stall_after is not None and gone >= hub.stall_after:
                self.wfile.flush()
                hub.stalled.set()
                hub.released.wait(60)
                self.close_connection = True
                return
            piece = content[offset : offset + _PIECE]
            try:
                self.wfile.write(piece)
            except OSError:
                self.close_connection = True
                return
            hub.sent[name] = hub.sent.get(name, 0) + len(piece)


@contextmanager
def serving() -> Iterator[FakeHub]:
    """Run a hub for as long as the context lasts."""
    hub = FakeHub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    hub.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    yield hub
    hub.released.set()
    server.shutdown()
    server.server_close()
    thread.join()


class Puller:
    """Runs `pull` in a process of its own: huggingface_hub reads its variables once, when it is imported."""

    def __init__(self, hub: FakeHub, home: Path) -> None:
        self.home = home
        self.environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))},
            "HF_HOME": str(home),
            "HF_ENDPOINT": hub.endpoint,
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
            "NO_PROXY": "127.0.0.1",
            "COLUMNS": "80",
        }

    @property
    def blobs(self) -> Path:
        return self.home / "hub/models--acme--tiny/blobs"

    def wait_for_partial(self, size: int) -> None:
        """Wait until a file under way has `size` bytes on disk."""
        deadline = time.monotonic() + 60
        while not any(path.stat().st_size >= size for path in self.blobs.glob("*.incomplete")):
            assert time.monotonic() < deadline, "the download did not get that far"
            time.sleep(0.01)

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        """`infertui models ARGUMENTS`, as the console script runs it."""
        program = (
            "import sys\n"
            "from infertui.cli.machine.models import app\n"
            "from infertui.errors import InfertuiError\n"
            "try:\n    app()\n"
            "except InfertuiError as error:\n    print(error, file=sys.stderr)\n    sys.exit(error.exit_code)\n"
        )
        return self._popen([sys.executable, "-c", program, *arguments], variables)

    def command(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments, **variables)
        return self._completed(process)

    def script(self, code: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run `code`, in which `pull` is there; an error is printed as `ERROR message`, with exit code 1."""
        program = (
            "import os, sys\nfrom pathlib import Path\n"
            "from infertui.errors import InfertuiError\nfrom infertui.models.hub.download import pull\n"
            f"try:\n    {code}\nexcept InfertuiError as error:\n    print('ERROR', error)\n    sys.exit(1)\n"
        )
        return self._completed(self._popen([sys.executable, "-c", program], variables))

    def _popen(self, command: list[str], variables: dict[str, str]) -> subprocess.Popen[str]:
        environ = {**self.environ, **variables}
        pipe = subprocess.PIPE
        return subprocess.Popen(command, env=environ, cwd=self.home.parent, stdout=pipe, stderr=pipe, text=True)

    @staticmethod
    def _completed(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
        out, err = process.communicate(timeout=90)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)
