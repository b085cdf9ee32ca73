"""A process of engine.tensor_parallel other than the first: it does what rank 0 tells, and ends when rank 0 does."""

import os
import queue
import signal
import sys
import threading

from infertui.endings import NOT_FOR_WORKERS
from infertui.targets.engine.transformers.parallel import (
    Following,
    Generate,
    Join,
    Order,
    Prepare,
    RankStopped,
    StopStep,
    decode,
    join,
)


def main(arguments: list[str]) -> None:
    """`arguments` holds the descriptor of the shared stop step; orders come on standard input."""
    for asked in NOT_FOR_WORKERS:  # they are the runner's to act on
        signal.signal(asked, signal.SIG_IGN)
    orders: queue.SimpleQueue[Order] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(orders,), daemon=True, name="orders").start()
    stop = StopStep(int(arguments[0]))
    first = orders.get()
    assert isinstance(first, Join)  # noqa: S101
    from infertui.targets.engine.transformers.engine import TransformersEngine

    join(first.rank, first.ranks, first.meeting, first.request)
    engine = TransformersEngine(rank=first.rank)
    engine.load(first.request)
    while True:
        match orders.get():
            case Prepare(plan):
                engine.prepare(plan, lambda _getting: None)
            case Generate(batch, number):
                try:
                    engine.generate(batch, Following(stop, number))
                except RankStopped:
                    continue
            case Join():
                pass


def _listen(orders: "queue.SimpleQueue[Order]") -> None:
    """Hand orders on. The end of them is the end of rank 0, in the middle of a collective as well."""
    for line in sys.stdin.buffer:
        orders.put(decode(line))
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
