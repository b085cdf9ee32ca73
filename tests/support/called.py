"""Which modules of infertui some work calls."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import infertui

PACKAGE = Path(infertui.__file__).parent


def modules_called(work: Callable[[], object]) -> set[Path]:
    """Their files."""
    called: set[Path] = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        file = Path(frame.f_code.co_filename)
        if event == "call" and file.is_relative_to(PACKAGE):
            called.add(file)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(before)
    return called
