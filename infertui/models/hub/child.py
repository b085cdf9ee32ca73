"""A download in a process of its own, for programs that measure meanwhile: `python -m infertui.models.hub.child ID`.

It writes a JSON object a line to its standard output: how far it is, a few times a second, and how it ended. Nobody
having to read that any more ends it, whatever has become of its parent; what has arrived is kept.
"""

import os
import sys

import msgspec
from msgspec import Struct

from infertui.errors import InfertuiError
from infertui.models.hub.download import pull
from infertui.models.hub.progress import PullProgress
from infertui.text import error_text

_NICE = 10
"""It has time: what is measured meanwhile comes first."""


class ChildLine(Struct, frozen=True, omit_defaults=True):
    """A line: how far it is, or how it ended: where the model is, or what went wrong and what to do."""

    progress: PullProgress | None = None
    path: str = ""
    problem: str = ""
    remedy: str = ""


def main(model: str, revision: str = "") -> int:
    """Download, and tell."""
    try:
        path = pull(model, revision, progress=lambda progress: _tell(ChildLine(progress)))
    except InfertuiError as error:
        _tell(ChildLine(problem=error.message, remedy=error.remedy))
        return 1
    except BrokenPipeError:
        return 1
    except Exception as error:  # noqa: BLE001 (whatever it is, who waits for it has to hear)
        _tell(ChildLine(problem=error_text(error)))
        return 1
    _tell(ChildLine(path=str(path)))
    return 0


def _tell(line: ChildLine) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    os.nice(_NICE)
    code = main(*sys.argv[1:])
    os._exit(code)  # threads that wait for a connection are left behind
