"""A runner whose every answer, event and error is hostile text, and the screen over it through a real socket."""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace
from support.fake_control import FakeControl
from support.results import make_results, write_folder
from support.results_stage import StoredControl
from support.screens import entry, machine
from support.served import served
from support.terminal_output import HOSTILE

from infertui.analysis.bench import Bench
from infertui.api.operations import OPERATIONS
from infertui.errors import InfertuiError
from infertui.models.local import LocalModel
from infertui.results.index import ResultQuery
from infertui.results.result import Result
from infertui.runner.control import EntryChanged, Forecast, ResultsChanged, RunnerApi
from infertui.runner.events import Estimated, Noted, PhaseEntered, RunFinished, RunStarted
from infertui.telemetry.readings import GpuProcess

T = TypeVar("T")
KEPT = Path(__file__).parents[2] / "reports" / "h200-bench" / "results.jsonl"
WIDE = "模型👨\u200d👩e\u0301" + "\u0301" * 40 + "\u115f\U000f0000🇫🇷"
"""Characters whose width terminals disagree about."""


MASKING = frozenset({"lost", "source", "imported", "ended_by"})
"""Where any text at all hides others: a lost GPU's readings, what only infertui itself measures."""


def hostile(value: T, text: str, keep: frozenset[str] = frozenset()) -> tuple[T, int]:
    """`value` with `text` before every text in it that may be anything, keys of dictionaries too; how many they are.

    Texts of the fields `keep` stay as they are.
    """
    kind: Any = type(value)
    document = msgspec.json.decode(msgspec.json.encode(value))

    def allowed() -> bool:
        try:
            msgspec.json.decode(msgspec.json.encode(document), type=kind)
        except (msgspec.MsgspecError, InfertuiError):
            return False
        return True

    def known(key: str) -> bool:
        """Whether a key is still there once it was read: those that a struct does not have are not."""
        read = msgspec.json.decode(msgspec.json.encode(document), type=kind)
        return msgspec.json.encode(key) in msgspec.json.encode(read)

    def change(texts: list[tuple[Any, Any]]) -> int:
        """As many of them as can be, halved where not all of them can; in how many it stands."""
        before = [(place, key, place[key]) for place, key in texts]
        for place, key, value in before:
            place[key] = text + value
        if allowed():
            return len(texts)
        for place, key, value in before:
            place[key] = value
        half = len(texts) // 2
        return change(texts[:half]) + change(texts[half:]) if half else 0

    def rename(place: dict[str, Any], key: str) -> int:
        place[text + key] = place.pop(key)
        if allowed() and known(text + key):
            return 1
        place[key] = place.pop(text + key)
        return 0

    places = [(place, key) for place, key in _places(document) if isinstance(place[key], str) and key not in keep]
    keyed = [(place, key) for place, key in _places(document) if isinstance(place, dict) and not key.isidentifier()]
    changed = change(places) + sum(rename(place, key) for place, key in keyed)
    return msgspec.json.decode(msgspec.json.encode(document), type=kind), changed


def _places(document: Any) -> Iterator[tuple[Any, Any]]:
    """Every value of a document of lists and dictionaries: in what it is, and under which key."""
    for key in list(document) if isinstance(document, dict) else range(len(document)):
        yield document, key
        if isinstance(document[key], dict | list):
            yield from _places(document[key])


class HostileControl(FakeControl):
    """`places` is in how many texts of its answers the hostile text stands. `failing`: it refuses all that is asked."""

    def __init__(self, folder: Path, *, text: str, failing: bool = False, keep: frozenset[str] = MASKING) -> None:
        super().__init__()
        self.places = 0
        self._keep = keep
        self._text = text
        stored, runs = _stored(folder / "kept")
        base = machine(gpus=8, entries=tuple(entry(n, state, run=f"run-{n}") for n, state in enumerate(_STATES, 1)))
        snapshot = replace(base.told, faults=("a fault",))
        progress = next(iter(snapshot.progress.values()))
        progress.notes.append("a note")
        progress.estimate = ("weights", "cache")
        progress.loaded = runs[0].loaded
        self.told = self._hostile(snapshot)
        self.runs = runs
        page = stored.index.page(ResultQuery(out=str(stored.out)))
        first, second = runs[0].id, runs[1].id
        self.answers |= {
            "forecast": self._hostile(Forecast(lines=("weights 1", "fits"), fits=False, needed=2, free=1)),
            "models": (
                self._hostile(LocalModel("id", "hub", "/path", 1, complete=False, problem="torn", architecture="A",
                                         dtype="bfloat16", revision="main")),
            ),
            "processes": (self._hostile(GpuProcess(4711, "python", 1 << 30)), GpuProcess(1)),
            "results": self._hostile(page),
            "details": self._hostile(asyncio.run(stored.details(str(stored.out), first))),
            "compare": self._hostile(asyncio.run(stored.compare(str(stored.out), [first, second]))),
            "bench": self._hostile(Bench("bench", 2, 1, (), (), (), ())),
        }  # fmt: skip
        if failing:
            error = InfertuiError(text + "refused", remedy=text + "remedy")
            self.failures = dict.fromkeys(_REFUSED, error)

    def _hostile(self, value: T) -> T:
        found, places = hostile(value, self._text, self._keep)
        self.places += places
        return found

    def happen(self) -> None:
        """Every kind of event that has a text."""
        text = self._text
        running = next(one for one in self.told.entries if one.state == "running")
        result = self._hostile(self.runs[0])
        self.push(
            RunStarted(running.run, name=text, folder=text, number=1, total=2, wanted=3, output_len=4, batch_size=1),
            Estimated(running.run, (text, text)),
            PhaseEntered(running.run, 1, "measure"),
            Noted(running.run, "warning", text),
            EntryChanged(replace(running, reason=text) if hasattr(running, "reason") else running),
            ResultsChanged(text),
            RunFinished(running.run, replace(result, id=running.run), kept=False),
        )


_STATES: Any = ("finished", "failed", "cancelled", "interrupted", "running", "queued", "queued")
_REFUSED = OPERATIONS.keys() - {"snapshot", "events", "results", "stop"}


def _stored(out: Path) -> tuple[StoredControl, list[Result]]:
    out.mkdir(parents=True)
    failed = next(result for result in make_results(200) if result.error)
    bench = [msgspec.json.decode(line, type=Result) for line in KEPT.read_bytes().splitlines()[:2]]
    runs = [*bench, failed, next(make_results(1))]
    with (out / "results.jsonl").open("wb") as index:
        for result in runs:
            write_folder(out, result)
            index.write(msgspec.json.encode(result) + b"\n")
    return StoredControl(out), runs


def main() -> None:
    """The screen over it, in the working directory. `failing`: it refuses; `everywhere`: in MASKING fields, too."""
    from infertui.tui import start as starting

    text, folder = HOSTILE + WIDE, Path.cwd()
    keep = frozenset[str]() if "everywhere" in sys.argv else MASKING
    control = HostileControl(folder, text=text, failing="failing" in sys.argv, keep=keep)

    def connector(*_arguments: Any, **_named: Any) -> Any:
        @asynccontextmanager
        async def connect() -> AsyncIterator[RunnerApi]:
            async with served(control, folder) as (client, _):
                asyncio.get_running_loop().call_later(1.0, control.happen)
                yield client

        return connect

    starting.connector = connector
    (folder / "places").write_text(str(control.places))
    sys.exit(starting.start(out=folder / (text.replace("/", "").replace("\x00", "") + "out")))


if __name__ == "__main__":
    main()
