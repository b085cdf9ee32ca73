import pytest
from msgspec.structs import replace
from support.fake_control import FakeControl
from support.pane_bench import Bench, act, look_at, repaints
from support.scenes import HOSTILE, client_state, entry
from support.settled import settled
from textual.pilot import Pilot

from infertui.errors import InfertuiError
from infertui.results.details import RunDetails
from infertui.runner.control import EntryChanged, EventEnvelope
from infertui.runner.events import Noted
from infertui.runner.scheduling.queue_store import Entry
from infertui.tui.logs.pane import LogsPane
from infertui.tui.settings.stored import Settings
from infertui.tui.state import ALL_TOPICS

RUNNING = entry(5, "running")
LOG = "".join(f"line {number} of the log\n" for number in range(60))


def control(log: str = LOG) -> FakeControl:
    made = FakeControl()
    made.answers["details"] = RunDetails("run-5", "/reports/run-5", "", log=log)
    return made


def bench(*entries: Entry, log: str = LOG, **options: object) -> Bench:
    return Bench(LogsPane, client_state(entries=entries), control=control(log), **options)  # type: ignore[arg-type]


async def look(bench: Bench, pilot: Pilot[None]) -> None:
    """What the pane does once a second."""
    bench.pane.poll()
    await settled(bench)
    await pilot.pause()


def test_the_log_of_the_run_is_followed_to_its_end() -> None:
    async def play(bench: Bench, pilot: Pilot[None]) -> None:
        await look(bench, pilot)
        assert bench.calls == [("details", ("/reports", "run-5"))]
        assert "line 59" in bench.text
        assert "line 0 " not in bench.text
        bench.fake.answers["details"] = RunDetails("run-5", "", "", log=LOG + "one more\n")
        await look(bench, pilot)
        assert "one more" in bench.text.splitlines()[-2]

    act(bench(RUNNING), play, size=(80, 12))


def test_going_up_ends_following_and_the_end_begins_it_again() -> None:
    async def play(bench: Bench, pilot: Pilot[None]) -> None:
        await look(bench, pilot)
        await pilot.press("g")
        await pilot.pause()
        assert "not following" in bench.text
        bench.fake.answers["details"] = RunDetails("run-5", "", "", log=LOG + "one more\n")
        await look(bench, pilot)
        assert "line 0 " in bench.text
        await pilot.press("f")
        await pilot.pause()
        assert "one more" in bench.text
        assert "not following" not in bench.text
        await pilot.press("k")
        await pilot.pause()
        assert "not following" in bench.text
        await pilot.press("G")
        await pilot.pause()
        assert "not following" not in bench.text

    act(bench(RUNNING), play, size=(80, 12))


def test_a_run_that_has_ended_is_read_once_and_for_all() -> None:
    async def play(bench: Bench, pilot: Pilot[None]) -> None:
        for _ in range(3):
            await look(bench, pilot)
        assert len(bench.calls) == 1

    act(bench(entry(5, "finished")), play)


def test_after_its_end_a_run_is_read_once_more() -> None:
    async def play(bench: Bench, pilot: Pilot[None]) -> None:
        await look(bench, pilot)
        bench.client_state.take(
            EventEnvelope(2, EntryChanged(replace(RUNNING, state="finished", ended="2026-05-01T10:00:00Z")))
        )
        for _ in range(3):
            await look(bench, pilot)
        assert len(bench.calls) == 2

    act(bench(RUNNING), play)


def test_nothing_is_read_while_nobody_sees_it() -> None:
    async def play(bench: Bench, pilot: Pilot[None]) -> None:
        bench.pane.display = False
        await pilot.pause()
        await look(bench, pilot)
        assert bench.calls == []

    act(bench(RUNNING), play)


def test_a_slow_link_reads_seldom() -> None:
    async def play(bench: Bench, pilot: Pilot[None]) -> None:
        for _ in range(10):
            await look(bench, pilot)
        assert len(bench.calls) == 2

    act(bench(RUNNING, settings=Settings(slow_link=True)), play)


def test_notes_and_faults_stand_where_they_came_with_their_time() -> None:
    async def play(bench: Bench, pilot: Pilot[None]) -> None:
        await look(bench, pilot)
        bench.client_state.take(EventEnvelope(2, Noted("run-5", "warning", "stopped early")))
        bench.client_state.faults = ("GPU 3 was lost",)
        bench.pane.show(frozenset({"live"}))
        await pilot.pause()
        fault, note = (line.strip("│▸ ") for line in bench.text.splitlines()[-3:-1])
        assert fault.endswith("runner: GPU 3 was lost")
        assert note.endswith("note: stopped early")
        assert note[2] == note[5] == ":"

    act(bench(RUNNING), play, size=(80, 12))


def test_long_lines_wrap_on_demand() -> None:
    async def play(bench: Bench, pilot: Pilot[None]) -> None:
        await look(bench, pilot)
        assert "END" not in bench.text
        await pilot.press("w")
        await pilot.pause()
        assert "END" in bench.text

    act(bench(RUNNING, log="x" * 180 + "END\n"), play, size=(80, 12))


def test_text_is_found_again_and_again() -> None:
    async def play(bench: Bench, pilot: Pilot[None]) -> None:
        await look(bench, pilot)
        await pilot.press("slash", *"LINE 1", "enter")
        await pilot.pause()
        assert "line 19 " in bench.text
        await pilot.press("N")
        await pilot.pause()
        assert "line 18 " in bench.text
        await pilot.press("n", "n")
        await pilot.pause()
        assert "line 1 " in bench.text
        await pilot.press("slash", *"gold", "enter")
        assert ("say", "Not found: LINE 1gold") in bench.told
        await pilot.press("slash", "escape", "n")
        assert "Nothing is looked for" in str(bench.told[-1][1])

    act(bench(RUNNING), play, size=(80, 12))


def test_a_runner_that_does_not_answer_is_a_word_in_the_title() -> None:
    failing = bench(RUNNING)
    failing.fake.failures["details"] = InfertuiError("no connection [/foo]")

    async def play(bench: Bench, pilot: Pilot[None]) -> None:
        await look(bench, pilot)
        assert "no connection [/foo]" in bench.text

    act(failing, play)


def test_hostile_logs_stay_text() -> None:
    async def play(bench: Bench, pilot: Pilot[None]) -> None:
        await look(bench, pilot)
        assert "[/foo][@click=app.quit]" in bench.text
        assert "\x1b" not in bench.text

    act(bench(RUNNING, log=HOSTILE + "\n\u202eevil\u202c\n"), play)


def test_the_same_again_repaints_nothing() -> None:
    async def play(bench: Bench, pilot: Pilot[None]) -> None:
        await look(bench, pilot)
        with repaints(bench) as found:
            bench.pane.show(ALL_TOPICS)
            await look(bench, pilot)
        assert found == []

    act(bench(RUNNING), play)


@pytest.mark.parametrize("size", [(160, 48), (60, 20), (30, 8)])
def test_without_a_run_it_says_so(size: tuple[int, int]) -> None:
    assert "Nothing has run yet" in look_at(bench(), size=size)


def test_brackets_change_the_run() -> None:
    async def play(bench: Bench, pilot: Pilot[None]) -> None:
        await look(bench, pilot)
        await pilot.press("]")
        await settled(bench)
        await pilot.pause()
        assert bench.calls[-1] == ("details", ("/reports", "run-6"))
        assert "run-6" in bench.text.splitlines()[0]

    act(bench(RUNNING, entry(6, "running", lane="gpu1")), play)


def test_a_run_without_a_log_is_not_said_not_to_have_run() -> None:
    async def play(bench: Bench, pilot: Pilot[None]) -> None:
        bench.pane.poll()
        await settled(bench)
        await pilot.pause()
        assert "This run wrote no log." in bench.text

    act(bench(entry(1, "finished"), log=""), play)
