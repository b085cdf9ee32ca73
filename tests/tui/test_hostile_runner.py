"""A runner whose every answer is hostile text: through its socket, onto a real terminal, in every pane."""

from pathlib import Path

from support.screen_walk import COPYING, ESC, Walk

WIDE, NARROW = (160, 48), (80, 24)


def test_nothing_that_a_runner_says_reaches_the_terminal_raw(tmp_path: Path) -> None:
    """Keys that open all there is, and answers that are errors, are in `benchmarks/hostile_screen.py`."""
    walk = Walk("support.hostile_control", folder=tmp_path, size=WIDE)
    try:
        walk.until("Quit")
        wrong = [each for key in ("1", "\r", ESC, "5", "\r", ESC, "6", *COPYING) for each in walk.press(key)]
        walk.resize(NARROW)
        wrong += [each for key in ("5", "3", "7") for each in walk.press(key)]
        assert wrong + walk.wrong() == []
        assert walk.end() == 143
    finally:
        walk.close()
    assert int((tmp_path / "places").read_text()) > 500
