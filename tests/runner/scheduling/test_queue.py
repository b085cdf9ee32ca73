from support.scenes import entry

from infertui.runner.control import AnyQueueEvent, EntriesOrdered
from infertui.runner.scheduling.queue import Queue
from infertui.runner.scheduling.queue_store import QueueStore


def test_entries_of_runs_that_were_deleted_go_with_them() -> None:
    store = QueueStore()
    store.put([entry(1, "finished"), entry(2, "running"), entry(3), entry(4, "failed", run="run-1", out="/elsewhere")])
    told: list[AnyQueueEvent] = []
    queue = Queue(store, place=list, tell=told.append)
    queue.forget_runs("/reports", ["run-1", "run-2", ""])
    assert [one.id for one in queue.entries] == [2, 3, 4]
    assert told == [EntriesOrdered((2, 3, 4))]
    queue.forget_runs("/reports", ["run-9"])
    assert len(told) == 1
    store.close()
