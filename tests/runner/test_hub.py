"""Readers of events: complete, in order, or told everything anew."""

import asyncio

from infertui.runner.control import EventEnvelope, PausedChanged, RunnerFacts, Snapshot
from infertui.runner.hub import BACKLOG, EventHub
from infertui.telemetry.readings import HostFacts

FACTS = RunnerFacts("1", 1, 1, HostFacts("host", "kernel"), "now")


def hub() -> EventHub:
    made: EventHub = EventHub(lambda: Snapshot(made.number, FACTS, False, ()))
    return made


async def read(source: EventHub, since: int, count: int) -> list[EventEnvelope | Snapshot]:
    found: list[EventEnvelope | Snapshot] = []
    events = source.events(since)
    async for told in events:
        found.append(told)
        if len(found) == count:
            break
    await events.aclose()  # type: ignore[attr-defined]
    return found


def test_events_since_a_number_come_in_order_and_then_live() -> None:
    async def scenario() -> None:
        source = hub()
        for paused in (True, False, True):
            source.publish(PausedChanged(paused))
        reader = asyncio.create_task(read(source, 1, 3))
        await asyncio.sleep(0)
        source.publish(PausedChanged(False))
        told = await reader
        assert [event.number for event in told] == [2, 3, 4]
        assert source.readers == 0

    asyncio.run(scenario())


def test_who_is_too_far_behind_gets_a_snapshot() -> None:
    async def scenario() -> None:
        source = hub()
        for _ in range(BACKLOG + 10):
            source.publish(PausedChanged(True))
        (told,) = await read(source, 5, 1)
        assert isinstance(told, Snapshot)
        assert told.number == BACKLOG + 10
        (kept,) = await read(source, 10, 1)
        assert kept.number == 11

    asyncio.run(scenario())


def test_a_number_from_another_life_gets_a_snapshot() -> None:
    async def scenario() -> None:
        (told,) = await read(hub(), 99, 1)
        assert isinstance(told, Snapshot)

    asyncio.run(scenario())


def test_a_reader_that_stops_reading_holds_up_nobody() -> None:
    async def scenario() -> None:
        source = hub()
        slow = source.events(0)
        source.publish(PausedChanged(True))
        assert isinstance(await anext(slow), EventEnvelope)
        for _ in range(10 * BACKLOG):
            source.publish(PausedChanged(True))
        assert isinstance(await anext(slow), Snapshot)
        source.close()
        assert [told async for told in slow] == []

    asyncio.run(scenario())
