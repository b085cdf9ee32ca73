"""Numbered events, and readers of them that cannot slow their source."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable

from infertui.runner.control import AnyEvent, EventEnvelope, Snapshot

BACKLOG = 1000
"""A reader further behind than this gets a snapshot instead."""


class EventHub:
    """Publishes events to any number of readers. Publishing never waits; a reader that is slow skips ahead."""

    def __init__(self, snapshot: Callable[[], Snapshot]) -> None:
        """`snapshot` is asked when a reader has to skip ahead; its `number` is this hub's."""
        self.number = 0
        self.readers = 0
        self._snapshot = snapshot
        self._events: deque[AnyEvent] = deque(maxlen=BACKLOG)
        self._news = asyncio.Event()
        self._closed = False

    def publish(self, event: AnyEvent) -> None:
        """Number an event and let the readers know."""
        self.number += 1
        self._events.append(event)
        self._wake()

    def close(self) -> None:
        """End all readers once they have read what there is."""
        self._closed = True
        self._wake()

    async def events(self, since: int) -> AsyncIterator[EventEnvelope | Snapshot]:
        """As `RunnerApi.events`."""
        self.readers += 1
        try:
            reached = since
            while True:
                if not self.number - len(self._events) <= reached <= self.number:
                    snapshot = self._snapshot()
                    reached = snapshot.number
                    yield snapshot
                elif reached < self.number:
                    reached += 1
                    yield EventEnvelope(reached, self._events[reached - self.number - 1])
                elif self._closed:
                    return
                else:
                    await self._news.wait()
        finally:
            self.readers -= 1

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()
