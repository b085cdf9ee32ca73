"""`infertui mock-server` as a process of its own: its times do not suffer from what the test computes."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from msgspec import Struct

_COMMAND = "import sys; from infertui.entry import main; sys.argv = ['infertui', 'mock-server', *sys.argv[1:]]; main()"
_TIMEOUT_S = 30


class MockProcess(Struct, frozen=True):
    """A mock that listens at `url`."""

    url: str
    pid: int

    def stats(self) -> dict[str, Any]:
        """What /mock/stats says."""
        found: dict[str, Any] = self._get("/mock/stats")
        return found

    def requests(self) -> list[dict[str, Any]]:
        """The requests that have ended, with the server's stamps on this machine's monotonic clock."""
        found: list[dict[str, Any]] = self._get("/mock/requests")
        return found

    def reset(self) -> None:
        """Count anew."""
        self._get("/mock/reset", b"")

    def _get(self, path: str, body: bytes | None = None) -> Any:
        with urllib.request.urlopen(self.url + path, body, timeout=_TIMEOUT_S) as answer:  # noqa: S310
            return json.load(answer)


@contextmanager
def mock_process(*arguments: str) -> Iterator[MockProcess]:
    """A mock with these arguments of the command; it listens over TCP, without TLS, where the pages are to be asked."""
    command = [sys.executable, "-c", _COMMAND, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            if not url:
                _, said = process.communicate(timeout=_TIMEOUT_S)
                raise AssertionError(f"no mock server: {said}")
            yield MockProcess(url, process.pid)
        finally:
            process.terminate()
            process.communicate(timeout=_TIMEOUT_S)
