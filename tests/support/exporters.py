"""`infertui exporter` as a process of its own, and pages asked of it."""

import http.client
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from prometheus_client.parser import text_string_to_metric_families
from support.daemons import Home
from support.runs import HANG_S

Told = dict[str, list[tuple[dict[str, str], float]]]


class Page(NamedTuple):
    """An answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def told(self) -> Told:
        """Its series by name."""
        return parsed(self.body)


def parsed(text: bytes) -> Told:
    """The series of a page by name, by prometheus-client's own parser."""
    found: Told = {}
    for family in text_string_to_metric_families(text.decode()):
        for one in family.samples:
            found.setdefault(one.name, []).append((one.labels, one.value))
    return found


def one_value(page: Told, name: str, **labels: str) -> float | None:
    """The value of the only series of that name with these labels; None where there is none."""
    found = [value for told, value in page.get(name, []) if labels.items() <= told.items()]
    assert len(found) <= 1, found
    return found[0] if found else None


class Exporter:
    """One that listens."""

    def __init__(self, url: str, process: "subprocess.Popen[str]") -> None:
        self.url, self.process = url, process
        self.host, _, self.port = url.removeprefix("http://").removesuffix("/metrics").rpartition(":")

    @property
    def target(self) -> str:
        """As Prometheus has it."""
        return f"{self.host}:{self.port}"

    def ask(self, path: str = "/metrics", method: str = "GET", headers: Mapping[str, str] | None = None) -> Page:
        """One request."""
        connection = http.client.HTTPConnection(self.host.strip("[]"), int(self.port), timeout=HANG_S)
        try:
            connection.request(method, path, headers=dict(headers or {}))
            answer = connection.getresponse()
            return Page(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()


@contextmanager
def exporter(place: Home, *arguments: str, stub: Path | None = None, **settings: Any) -> Iterator[Exporter]:
    """One on a free port, over the stub of the driver where there is one; it is ended by SIGTERM, and well."""
    environment = dict(place.environment)
    if stub is not None:
        environment |= {"LD_LIBRARY_PATH": str(stub)}
        environment |= {f"NVML_STUB_{name.upper()}": str(value) for name, value in settings.items()}
    command = [sys.executable, "-m", "infertui", "exporter", *(arguments or ("--port", "0"))]
    with subprocess.Popen(
        command, cwd=place.folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("infertui exporter: http://"), line + process.stdout.read()
            yield Exporter(line.removeprefix("infertui exporter: ").strip(), process)
            process.terminate()
            assert process.wait(HANG_S) == 0, process.stdout.read()
        finally:
            process.kill()
