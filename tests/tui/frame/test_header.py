from msgspec.structs import replace
from support.runs import simulated
from support.screens import entry, machine, sample

from infertui.runner.tuning.state import TuningView
from infertui.tui.frame.header import Condition, gpu_summary, header_text, minutes, title_text
from infertui.tui.state import ClientState
from infertui.tui.terminal.capabilities import ASCII, UNICODE
from infertui.tui.themes import DEFAULT_PALETTE

AT = Condition(version="1.2.3", clock="09:41")


def client_state_of(**more: object) -> ClientState:
    client_state = ClientState()
    client_state.take(machine(**more).told)  # type: ignore[arg-type]
    return client_state


def line(client_state: ClientState | None, width: int, condition: Condition = AT) -> str:
    text = header_text(client_state, condition, width, DEFAULT_PALETTE, UNICODE)
    assert text.cell_len <= width
    return text.plain


def test_what_matters_least_goes_first() -> None:
    client_state = client_state_of(gpus=8, entries=(entry(1, "running", estimate_s=60.0), entry(2, estimate_s=60.0)))
    progress = client_state.progress["run1"]
    progress.measured, progress.measured_seconds = 5, 10.0
    wide = line(client_state, 140)
    assert wide.startswith(
        " infertui 1.2.3  gpu-box  8× H100  run 1/2  sweep bs=1  measure 50%  ETA 0:10  all in 1:10 "
    )
    assert wide.endswith("09:41")
    assert "ETA 0:10" in line(client_state, 70)
    assert "infertui 1.2.3" not in line(client_state, 80)
    assert line(client_state, 30).strip() == "run 1/2  measure 50%"
    for width in range(1, 141):
        line(client_state, width)


def test_trouble_is_never_left_out() -> None:
    trouble = Condition(version="1", clock="", trouble="runner gone, trying again", read_only=True, frozen=True)
    client_state = client_state_of(gpus=8, entries=(entry(1, "running"),))
    assert "runner gone, trying again" in line(client_state, 30, trouble)
    assert "FROZEN" in line(client_state, 60, trouble)
    assert "connecting" in line(None, 40, replace(trouble, trouble="connecting"))


def test_hostile_names_stay_text() -> None:
    client_state = client_state_of()
    assert client_state.runner is not None
    host = replace(client_state.runner.host, hostname="box\x1b[2J\u202e[/x]")
    client_state.runner = replace(client_state.runner, host=host)
    shown = line(client_state, 100)
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "[/x]" in shown


def test_gpus_in_words() -> None:
    assert gpu_summary(client_state_of(gpus=0), UNICODE) == "no GPU"
    assert gpu_summary(client_state_of(gpus=1), UNICODE) == "H100"
    assert gpu_summary(client_state_of(gpus=4), ASCII) == "4x H100"
    client_state = client_state_of(gpus=2)
    lost = sample(2)
    client_state.samples.append(replace(lost, gpus=(replace(lost.gpus[0], lost="fell off the bus"), lost.gpus[1])))
    assert gpu_summary(client_state, UNICODE) == "2× H100 (1 lost)"


def test_times() -> None:
    assert [minutes(seconds) for seconds in (0, 41.4, 750, 7500, -3)] == ["0:00", "0:41", "12:30", "2:05:00", "0:00"]


def test_the_title_says_how_far_it_is_and_then_how_it_ended() -> None:
    assert title_text(None, UNICODE) == "infertui"
    assert title_text(client_state_of(), UNICODE) == "infertui"
    client_state = client_state_of(entries=(entry(1, "running"), entry(2)))
    progress = client_state.progress["run1"]
    progress.measured, progress.measured_seconds = 5, 10.0
    assert title_text(client_state, UNICODE) == "50% sweep bs=1 - infertui"
    done = replace(client_state.entries[1], state="finished", run="run1", ended="2026-01-01T00:00:00+00:00")
    client_state.entries[1] = done
    assert title_text(client_state, UNICODE) == "✓ sweep bs=1 - infertui"
    assert title_text(client_state, ASCII) == "+ sweep bs=1 - infertui"
    client_state.entries[1] = replace(done, valid=False)
    assert title_text(client_state, UNICODE) == "! sweep bs=1 - infertui"
    client_state.entries[1] = replace(done, state="failed")
    assert title_text(client_state, UNICODE) == "✗ sweep bs=1 - infertui"


def test_a_tuning_session_that_keeps_what_waits_from_running_is_named() -> None:
    client_state = client_state_of(entries=(entry(1), entry(2)))
    session = TuningView("tuning-1", "/f", "demo\x1b[2J", simulated())
    client_state.tunings[session.id] = session
    assert "tuning  demo  2 waiting" in line(client_state, 100)
    assert "tuning" in line(client_state, 30)
    assert title_text(client_state, UNICODE).startswith("tuning demo")
    client_state.tunings[session.id] = replace(session, status="ended")
    assert "tuning" not in line(client_state, 100)
