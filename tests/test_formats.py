"""What files and the wire hold does not hang on names in Python: tests/formats.txt has every key and word.

A line that is no longer true means that files of before, or another version's, are read in another way. Keep the key or
the word (`msgspec.field(name=...)`, `tag=...`, `kind = ...`), or raise the schema and write a step in
results/upgrade.py with a kept line in tests/results/lines/. A line that is only new, or takes
more than before, is to be put into the file.
"""

import sqlite3
from collections.abc import Iterator
from difflib import unified_diff
from pathlib import Path
from typing import Any, get_args

import pytest
from litestar.handlers import HTTPRouteHandler
from support.formats import outline

from infertui.analysis.capacity.outcome import Stay
from infertui.analysis.cost.prices import FILE as PRICES
from infertui.analysis.offload.kept import KeptProfiles, profiles_folder
from infertui.analysis.offload.study import OffloadStudy
from infertui.analysis.tuning.segment import Segment
from infertui.api import runtime, wire
from infertui.api.http import routes
from infertui.api.operations import HELLO, OPERATIONS
from infertui.config.engines.registry import SPECS
from infertui.errors import InfertuiError
from infertui.measure.records import RequestRecord
from infertui.metrics.table import csv_header
from infertui.models.hub.asking import LibraryAnswer as ShapeAnswer
from infertui.pipeline.state import FILE as PIPELINE
from infertui.pipeline.state import PipelineFile
from infertui.report.as_json import ReportFile
from infertui.results import peaks
from infertui.results.index import ResultIndex
from infertui.results.observations import REQUESTS
from infertui.results.result import Result
from infertui.results.runs import BEGUN, OUTPUTS, RESULT, SUPERSEDED, Begun, Output
from infertui.runner.capacity.folder import CapacityRecord
from infertui.runner.control import EventEnvelope, RunnerApi
from infertui.runner.scheduling.queue_store import Duration, Entry, QueueStore
from infertui.runner.tuning.folder import KeptTuning
from infertui.targets.engine.environments import ProbeAnswer as InterpreterAnswer
from infertui.targets.engine.environments import chosen_file
from infertui.targets.engine.peaks.peaks import Told
from infertui.targets.engine.transformers.parallel import Order
from infertui.telemetry.nvml import NvmlUnavailableError
from infertui.telemetry.readings import Sample
from infertui.tui import themes
from infertui.tui.settings.stored import Settings
from infertui.tui.terminal import early
from infertui.worker.protocol import AnyCommand, AnyEvent, FailureKind

CLASSES: list[type[InfertuiError]] = [*wire._classes().values(), NvmlUnavailableError]
KEPT = Path(__file__).with_name("formats.txt")
STRUCTURES: dict[str, Any] = {
    "results.jsonl and result.json": Result,
    "requests.jsonl": RequestRecord,
    "telemetry.jsonl": Sample,
    "outputs.jsonl": Output,
    "begun.json": Begun,
    "capacity.json": CapacityRecord,
    "levels.jsonl": Stay,
    "pipeline.json": PipelineFile,
    "queue.sqlite, entries.body": Entry,
    "queue.sqlite, durations.body": Duration,
    "ceilings.json": peaks._File,
    "settings.toml": Settings,
    "a theme": themes._File,
    "report.json": ReportFile,
    "profile.json": OffloadStudy,
    "tuning.json": KeptTuning,
    "segments.jsonl": Segment,
    "profiles/": KeptProfiles,
    "runner.lock, start.lock": runtime.Holder,
    "shapes/": ShapeAnswer,
    "another interpreter answers": InterpreterAnswer,
    "to a worker": AnyCommand,
    "from a worker": AnyEvent,
    "to a rank of tensor parallelism": Order,
    "from a calibration": Told,
    "GET /v1/hello": HELLO.answer,
    "GET /v1/snapshot": OPERATIONS["snapshot"].answer,
    "GET /v1/events": EventEnvelope,
    "POST /v1/entries": OPERATIONS["submit"].request,
    "ids": OPERATIONS["cancel"].request,
    "POST /v1/entries/move": OPERATIONS["move"].request,
    "PATCH /v1/entries/": OPERATIONS["edit"].request,
    "PATCH /v1/queue": OPERATIONS["pause"].request,
    "POST /v1/forecast": OPERATIONS["forecast"].answer,
    "GET /v1/processes": OPERATIONS["processes"].answer,
    "GET /v1/results?": OPERATIONS["results"].request,
    "GET /v1/results": OPERATIONS["results"].answer,
    "GET /v1/runs": OPERATIONS["details"].answer,
    "POST /v1/compare, DELETE /v1/runs": OPERATIONS["compare"].request,
    "POST /v1/compare": OPERATIONS["compare"].answer,
    "POST /v1/stop": OPERATIONS["stop"].request,
    "an error": wire.Problem,
}
STRUCTURES |= {
    f"operation {name} {what}": kind
    for name, one in OPERATIONS.items()
    if not one.stream
    for what, kind in (("takes", one.request), ("gives", one.answer))
    if kind not in (None, type(None))
}


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """All formats as they are."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("CONFIG", "STATE", "CACHE"):
        monkeypatch.delenv(f"XDG_{name}_HOME", raising=False)
    lines = ["Names of files"]
    kept = ("results.jsonl", "run.toml", REQUESTS, OUTPUTS, BEGUN, RESULT, SUPERSEDED, PIPELINE)
    lines += [f"  {name}" for name in kept]
    lines += [f"  {path.relative_to(tmp_path)}" for path in _paths()]
    lines += ["", "Kinds of errors"]
    lines += [f"  {kind}" for kind in sorted(cls.kind for cls in CLASSES)]
    lines += [f"  {kind}, of a worker" for kind in get_args(FailureKind)]
    lines += ["", "Engines", *(f"  {name}, table {spec.table}" for name, spec in sorted(SPECS.items()))]
    lines += ["", "Routes", *sorted(f"  {' '.join(sorted(route.http_methods))} {path}" for route, path in _routes())]
    lines += ["", "Columns of CSV", *(f"  {name}" for name in csv_header())]
    QueueStore(tmp_path / "queue.sqlite").close()
    index = ResultIndex(tmp_path / "out", cache=tmp_path)
    index.refresh()
    index.close()
    (index_file,) = set(tmp_path.glob("*.sqlite")) - {tmp_path / "queue.sqlite"}
    for name, file in (("queue.sqlite", tmp_path / "queue.sqlite"), ("index/*.sqlite", index_file)):
        lines += ["", name, *(f"  {line}" for line in _tables(file))]
    lines += ["", "The rest is structures: ! has to be there", *outline(STRUCTURES)]
    return "\n".join(lines) + "\n"


def test_no_key_and_no_word_of_a_file_has_changed(written: str, tmp_path: Path) -> None:
    now = tmp_path / KEPT.name
    now.write_text(written, encoding="utf-8")
    kept = KEPT.read_text(encoding="utf-8")
    gone = list(unified_diff(kept.splitlines(), written.splitlines(), str(KEPT), str(now), n=2, lineterm=""))
    assert not gone, f"{__doc__}\n" + "\n".join(gone)


@pytest.mark.parametrize("cls", CLASSES)
def test_a_class_by_another_name_has_the_same_word(cls: type[InfertuiError]) -> None:
    renamed: type[InfertuiError] = type("RenamedError", (cls,), {})
    assert renamed.kind == cls.kind


def test_what_crosses_the_socket_is_told_apart_by_its_word() -> None:
    words = [cls.kind for cls in wire._classes().values()]
    assert len(words) == len(set(words)) > 9
    for cls in wire._classes().values():
        assert "kind" in vars(cls), cls


def _routes() -> Iterator[tuple[HTTPRouteHandler, str]]:
    for route in routes(RunnerApi):
        for path in route.paths:
            yield route, wire.PREFIX + path


def _paths() -> list[Path]:
    environ = {"HOME": str(Path.home())}
    return sorted(
        [
            early.settings_path(environ), chosen_file(environ), peaks.peaks_file(environ), profiles_folder(environ),
            runtime.queue_file(environ), runtime.queue_lock(environ), runtime.log_file(environ),
            Path.home() / ".config" / "infertui" / PRICES,
        ]
    )  # fmt: skip


def _tables(file: Path) -> Iterator[str]:
    connection = sqlite3.connect(file)
    try:
        for (name,) in connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
        ).fetchall():
            columns = [row[1] for row in connection.execute(f'PRAGMA table_info("{name}")')]
            yield f"{name}: {' '.join(columns)}"
    finally:
        connection.close()
