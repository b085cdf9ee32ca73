import pytest
from support.fake_control import FakeControl
from support.pane_bench import Bench, act, look_at, repaints
from support.scenes import HOSTILE, client_state, entry, facts, gpus, sample, uuid
from support.settled import settled
from textual.pilot import Pilot

from infertui.errors import InfertuiError
from infertui.runner.control import EventEnvelope, Measured
from infertui.telemetry.readings import GpuProcess
from infertui.tui.gpus.pane import GpusPane
from infertui.tui.gpus.processes import ProcessesScreen, age
from infertui.tui.gpus.table import GaugeTable
from infertui.tui.settings.stored import Settings
from infertui.tui.state import ALL_TOPICS, ClientState

RUNNING = [entry(3, "running", name="bs=4")]


def bench(known: ClientState, **options: object) -> Bench:
    return Bench(GpusPane, known, **options)  # type: ignore[arg-type]


def tick(known: ClientState, seconds: int, **changes: object) -> None:
    infos = known.runner.gpus if known.runner else ()
    known.take(EventEnvelope(known.number + 1, Measured(sample(infos, seconds, **changes))))  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [(160, 13), (120, 12), (80, 9), (80, 12), (60, 10), (40, 12)])
@pytest.mark.parametrize("count", [1, 8])
def test_every_gpu_is_there_at_every_size(count: int, size: tuple[int, int]) -> None:
    text = look_at(bench(client_state(gpus(count), RUNNING)), size=size)
    for index in range(count):
        assert f"{sample(gpus(count), 89).gpus[index].power_w:.0f}" in text
    assert "60.7" in text


def test_more_gpus_than_lines_scroll_with_the_selection() -> None:
    async def play(bench: Bench, pilot: Pilot[None]) -> None:
        assert "1-14 of 16" in bench.text
        for _ in range(15):
            await pilot.press("j")
        assert "3-16 of 16" in bench.text
        assert bench.pane.selected == uuid(15)
        await pilot.press("k", "up")
        assert bench.pane.selected == uuid(13)

    act(bench(client_state(gpus(16))), play, size=(80, 9))


def test_a_lost_gpu_is_said_in_words_and_the_others_go_on() -> None:
    text = look_at(bench(client_state(gpus(8), lost=[5])), size=(120, 12))
    assert "5  lost: GPU is lost (Xid 79)" in text
    assert "7  H100" in text


def test_without_a_gpu_the_machine_takes_one_line_and_zoomed_it_shows_all_of_it() -> None:
    known = client_state(unavailable="the NVIDIA driver library was not found\nInstall it.")
    text = look_at(bench(known), size=(80, 12))
    assert "No GPU: the NVIDIA driver library was not found" in text
    for word in ("CPU", "RAM", "swap", "load", "120W", "34.5/512G"):
        assert word in text
    line = look_at(bench(known), size=(100, 3)).splitlines()[1]
    assert "CPU" in line
    assert "RAM 34.5/512G" in line
    assert "no GPU: the NVIDIA driver" in line

    async def play(bench: Bench, pilot: Pilot[None]) -> None:
        assert bench.pane.wanted_lines(100) == 1
        await pilot.press("enter")
        assert "library was not found" in str(bench.told[-1][1])

    act(bench(known), play)


def test_s_chooses_what_is_shown_over_time() -> None:
    known = client_state(gpus(4))

    async def play(bench: Bench, pilot: Pilot[None]) -> None:
        assert "utilization 2 min" in bench.text
        assert "█" in bench.text
        seen = []
        for _ in range(5):
            await pilot.press("s")
            seen.append(
                next(
                    name
                    for name in ("power 2", "VRAM 2", "temperature 2", "SM clock 2", "utilization 2")
                    if name in bench.text
                )
            )
        assert seen == ["power 2", "VRAM 2", "temperature 2", "SM clock 2", "utilization 2"]
        await pilot.press("S")
        assert "SM clock 2 min" in bench.text

    act(bench(known), play, size=(120, 12))


def test_where_the_heads_of_the_columns_have_no_room_the_frame_says_what_is_shown() -> None:
    assert "utilization 2 min" in look_at(bench(client_state(gpus(8))), size=(80, 10)).splitlines()[0]


def test_a_hundred_gpus_cost_no_more_than_those_in_view() -> None:
    async def play(bench: Bench, pilot: Pilot[None]) -> None:
        assert "1-36 of 100" in bench.text
        for _ in range(40):
            await pilot.press("j")
        assert bench.pane.selected == uuid(40)
        assert "of 100" in bench.text

    act(bench(client_state(gpus(100))), play, size=(80, 20))


def test_before_the_first_snapshot_it_says_what_it_waits_for() -> None:
    assert "Waiting for the runner." in look_at(bench(ClientState()), size=(80, 8))


def test_ascii_terminals_get_ascii() -> None:
    text = look_at(bench(client_state(gpus(8, mig=2), RUNNING), ascii_only=True), size=(120, 14))
    assert "".join(line[1:-1] for line in text.splitlines()[1:-1]).isascii()


def test_hostile_reasons_and_names_stay_text() -> None:
    known = client_state(gpus(1))
    known.runner = facts(unavailable=HOSTILE)
    text = look_at(bench(known), size=(100, 9))
    assert "[/foo]" in text
    assert "\x1b" not in text


def test_the_same_mirror_twice_repaints_nothing() -> None:
    async def play(bench: Bench, pilot: Pilot[None]) -> None:
        with repaints(bench) as found:
            bench.pane.show(ALL_TOPICS)
            bench.pane.show(frozenset({"machine"}))
            await pilot.pause()
        assert found == []

    act(bench(client_state(gpus(8), RUNNING)), play)


def test_a_sample_repaints_only_the_cells_that_differ() -> None:
    known = client_state(gpus(8), busy=0)

    async def play(bench: Bench, pilot: Pilot[None]) -> None:
        tick(known, 89, busy=0)  # the same readings again
        with repaints(bench) as found:
            bench.pane.show(frozenset({"machine"}))
        assert found == []
        tick(known, 89, busy=1)  # one GPU starts to work
        with repaints(bench) as found:
            bench.pane.show(frozenset({"machine"}))
        assert found
        assert all(isinstance(widget, GaugeTable) for widget, _ in found)
        assert {region.y for _, regions in found for region in regions} == {1}

    act(bench(known), play)


def test_topics_of_others_are_none_of_its_business() -> None:
    known = client_state(gpus(8))

    async def play(bench: Bench, pilot: Pilot[None]) -> None:
        tick(known, 100, busy=8)
        with repaints(bench) as found:
            bench.pane.show(frozenset({"results", "live"}))
        assert found == []

    act(bench(known), play)


def test_readings_that_stay_out_are_marked_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    known = client_state(gpus(2))
    now = [1000.0]
    monkeypatch.setattr("infertui.tui.gpus.pane.monotonic", lambda: now[0])

    async def play(bench: Bench, pilot: Pilot[None]) -> None:
        tick(known, 90)
        bench.pane.show(frozenset({"machine"}))
        now[0] += 2.5
        bench.pane.look_for_stale()
        assert "STALE" not in bench.text
        now[0] += 1.0
        bench.pane.look_for_stale()
        await pilot.pause()
        assert "STALE" in bench.text
        tick(known, 94)
        bench.pane.show(frozenset({"machine"}))
        await pilot.pause()
        assert "STALE" not in bench.text

    act(bench(known), play)


def test_h_shows_and_hides_the_history() -> None:
    async def play(bench: Bench, pilot: Pilot[None]) -> None:
        await pilot.press("h")
        await pilot.pause()
        assert "utilization %" in bench.text
        assert "temperature C" in bench.text
        with repaints(bench) as found:
            bench.pane.show(ALL_TOPICS)
        assert found == []
        await pilot.press("h")
        await pilot.pause()
        assert "utilization %" not in bench.text

    act(bench(client_state(gpus(8))), play, size=(130, 24))


@pytest.mark.parametrize("seconds", [2, 31, 47, 93, 250, 1200])
def test_the_newest_reading_of_the_history_stands_at_the_right_where_the_axis_says_now(seconds: int) -> None:
    infos = gpus(1)
    known = client_state(infos)
    known.samples.clear()
    for second in range(seconds + 1):
        tick(known, second)

    async def play(bench: Bench, pilot: Pilot[None]) -> None:
        lines = [line.rstrip() for line in bench.text.splitlines()]
        (axis,) = (at for at, line in enumerate(lines) if line.endswith("0s│"))
        head = next(at for at, line in enumerate(lines) if "temperature C" in line)
        assert any(line[-2] != " " for line in lines[head + 1 : axis]), "the newest reading's column is empty"

    act(bench(known), play, size=(130, 24))


def test_history_says_when_it_has_no_room_or_no_business() -> None:
    async def play(bench: Bench, pilot: Pilot[None]) -> None:
        await pilot.press("h")
        assert "no room" in str(bench.told[-1][1])

    act(bench(client_state(gpus(2))), play, size=(80, 7))

    async def slow(bench: Bench, pilot: Pilot[None]) -> None:
        await pilot.press("h")
        assert "slow link" in str(bench.told[-1][1])

    act(bench(client_state(gpus(2)), settings=Settings(slow_link=True)), slow)


def test_the_processes_of_the_selected_gpu_are_asked_for() -> None:
    control = FakeControl()
    control.answers["processes"] = (GpuProcess(123, "python", 10 * 2**30), GpuProcess(4711, HOSTILE, None))

    async def play(bench: Bench, pilot: Pilot[None]) -> None:
        await pilot.press("j", "i")
        await pilot.pause()
        await settled(bench)
        await pilot.pause()
        assert control.calls[-1] == ("processes", (uuid(1),))
        assert "123" in bench.text
        assert "10.0 GiB" in bench.text
        assert "[/foo]" in bench.text
        await pilot.press("escape")
        await pilot.pause()
        assert not isinstance(bench.screen, ProcessesScreen)

    act(bench(client_state(gpus(2)), control=control), play)


@pytest.mark.parametrize(
    ("answer", "words"), [(None, "does not tell"), ((), "No process computes"), (InfertuiError("gone"), "gone")]
)
def test_no_processes_is_said_in_words(answer: object, words: str) -> None:
    control = FakeControl()
    control.answers["processes"] = answer
    if isinstance(answer, InfertuiError):
        control.failures["processes"] = answer

    async def play(bench: Bench, pilot: Pilot[None]) -> None:
        await pilot.press("enter")
        await pilot.pause()
        await settled(bench)
        await pilot.pause()
        assert words in bench.text

    act(bench(client_state(gpus(1)), control=control), play)


def test_a_click_selects_and_a_double_click_opens() -> None:
    async def play(bench: Bench, pilot: Pilot[None]) -> None:
        await pilot.click(offset=(20, 5))
        assert bench.pane.selected == uuid(3)
        await pilot.click(offset=(20, 6), times=2)
        await pilot.pause()
        assert isinstance(bench.screen, ProcessesScreen)

    act(bench(client_state(gpus(8))), play)


def test_resizing_storms_do_no_harm() -> None:
    async def play(bench: Bench, pilot: Pilot[None]) -> None:
        await pilot.press("h")
        for width, height in ((1, 1), (20, 5), (200, 60), (60, 20), (5, 50), (120, 30)):
            await pilot.resize_terminal(width, height)
        await pilot.pause()
        assert "0 " in bench.text
        assert "61" in bench.text

    act(bench(client_state(gpus(8), RUNNING)), play)


def test_why_there_is_no_gpu_and_what_to_do_are_two_sentences() -> None:
    known = client_state(unavailable="the driver library was not found\nInstall the driver, or do without.")
    text = look_at(bench(known), size=(60, 12))
    assert "No GPU: the driver library was not found. Install the" in text
    assert "driver, or do without." in text


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0s"), (59.9, "59s"), (60, "1m"), (3599, "59m"), (3600, "1h 0m"), (86399, "23h 59m"), (450000, "5d 5h")],
)
def test_ages(seconds: float, shown: str) -> None:
    assert age(seconds) == shown


def test_processes_say_whose_they_are_and_ours_are_marked() -> None:
    control = FakeControl()
    control.answers["processes"] = (
        GpuProcess(
            123, "/usr/bin/python3", 10 * 2**30, "ann", 4000.0, "python3 -m infertui.worker 3 4", "#3 demo bs=4"
        ),
        GpuProcess(4711, "trtllm", None, "bob\x1b[31m", None, "trtllm-serve " + HOSTILE),
        GpuProcess(9, None, None),
    )

    def row(text: str, pid: int) -> str:
        (line,) = (line for line in text.splitlines() if f" {pid} " in line)
        return line

    async def opened(bench: Bench, pilot: Pilot[None]) -> None:
        await pilot.press("enter")
        await pilot.pause()
        await settled(bench)
        await pilot.pause()

    async def wide(bench: Bench, pilot: Pilot[None]) -> None:
        await opened(bench, pilot)
        ours = row(bench.text, 123)
        for words in ("•", "ann", "1h 6m", "10.0 GiB", "#3 demo bs=4", "python3 -m infertui.worker"):
            assert words in ours
        assert "•" not in row(bench.text, 4711)
        assert "trtllm-serve" in row(bench.text, 4711)
        assert row(bench.text, 9).count("n/a") == 4
        assert "\x1b" not in bench.text

    async def narrow(bench: Bench, pilot: Pilot[None]) -> None:
        await opened(bench, pilot)
        assert "python3 -m infertui" in row(bench.text, 123)
        assert "•" in row(bench.text, 123)

    act(bench(client_state(gpus(1)), control=control), wide)
    act(bench(client_state(gpus(1)), control=control), narrow, size=(60, 16))
