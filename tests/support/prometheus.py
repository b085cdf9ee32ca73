"""A real Prometheus (Debian's package, or any other on PATH), and promtool."""

import contextlib
import json
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.daemons import wait_until

LOAD_S = 30


def needs(program: str) -> str:
    """The path of prometheus or promtool; the test is skipped where there is none."""
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed (apt-get install prometheus)")
    return found


def complaints(page: bytes) -> list[str]:
    """What `promtool check metrics` says of a page, but for the `modelName` that DCGM's exporter has as well."""
    done = subprocess.run([needs("promtool"), "check", "metrics"], input=page, capture_output=True, check=False)
    said = (done.stdout + done.stderr).decode().splitlines() if done.returncode else []
    return [line for line in said if not line.endswith("label names should be written in 'snake_case' not 'camelCase'")]


class Prometheus:
    """One that scrapes."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def ask(self, path: str, **parameters: str) -> Any:
        """What its API answers, of any status; None while it does not."""
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=LOAD_S) as answer:  # noqa: S310
            return json.load(answer)["data"]
        return None

    def query(self, expression: str) -> list[Any]:
        """The series of an instant query; none where it has no data, or is refused."""
        return list((self.ask("query", query=expression) or {}).get("result", []))

    def range(self, expression: str, seconds: float = 60, step: str = "1") -> list[Any]:
        """Those of a range query over the last seconds."""
        now = time.time()
        told = self.ask("query_range", query=expression, start=str(now - seconds), end=str(now), step=step)
        return list((told or {}).get("result", []))

    def until(self, expression: str) -> list[Any]:
        """The same once there is data."""
        found: list[Any] = []

        def there() -> bool:
            found[:] = self.query(expression)
            return bool(found)

        wait_until(there)
        return found


@contextmanager
def prometheus(folder: Path, target: str, settings: Mapping[str, Any] | None = None) -> Iterator[Prometheus]:
    """One that scrapes `target` (HOST:PORT) five times a second, with these settings of the scrape."""
    program, port = needs("prometheus"), _free_port()
    job = {"job_name": "infertui", "static_configs": [{"targets": [target]}], **(settings or {})}
    told = {"global": {"scrape_interval": "200ms", "scrape_timeout": "200ms"}, "scrape_configs": [job]}
    (folder / "prometheus.yml").write_text(json.dumps(told), encoding="utf-8")  # JSON is YAML
    command = [
        program, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/tsdb",
        f"--web.listen-address=127.0.0.1:{port}", "--log.level=error",
    ]  # fmt: skip
    with (folder / "prometheus.log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            found = Prometheus(port)
            wait_until(lambda: found.ask("query", query="up") is not None)
            yield found
        finally:
            process.terminate()
            process.wait(LOAD_S)


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
