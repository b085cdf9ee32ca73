"""A bench in the queue: its runs keep their places in it, and what is no longer a run of it loses its place."""

from collections.abc import Sequence
from pathlib import Path

from support.runs import simulated

from infertui.config.bench_plan import plan_bench
from infertui.config.sweep import Place, Variant
from infertui.runner.control import Submission
from infertui.runner.scheduling.queue import Queue
from infertui.runner.scheduling.queue_store import Entry, QueueStore

PLAN = plan_bench([("a", simulated()), ("b", simulated(workload__batch_size=2))], 2, 1, "b1")


def queue(store: QueueStore) -> Queue:
    def place(entries: Sequence[Entry]) -> list[Entry]:
        return list(entries)

    return Queue(store, place=place, tell=lambda _: None)


def places(entries: Sequence[Entry]) -> list[Place | None]:
    return [entry.place for entry in entries]


def test_places_outlive_the_runner(tmp_path: Path) -> None:
    store = QueueStore(tmp_path / "queue.sqlite")
    queue(store).submit(Submission("bench", tuple(PLAN), "/r"), {})
    store.close()
    again = QueueStore(tmp_path / "queue.sqlite")
    assert places(again.entries()) == [variant.place for variant in PLAN]
    again.close()


def test_a_retried_run_stands_in_and_a_duplicate_or_an_edited_one_does_not() -> None:
    line = queue(QueueStore())
    first, second, *_ = line.submit(Submission("bench", tuple(PLAN), "/r"), {})
    (retried,) = line.copy([first], behind=False)
    (duplicate,) = line.copy([first], behind=True)
    line.edit(second, Variant("other", simulated(), {}))
    assert line.get(retried).place == PLAN[0].place
    assert line.get(duplicate).place is None
    assert line.get(second).place is None
