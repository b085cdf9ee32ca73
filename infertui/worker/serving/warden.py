"""Becomes a server: forks a watchdog into its process group first, which kills that when the lifeline is cut.

`python -P -m infertui.worker.serving.warden LIFELINE PROGRAM ARGUMENT...`
"""

import os
import sys

from infertui.worker.lifeline import watch_lifeline

NOT_STARTED = 127


def main(argv: list[str]) -> None:
    """Does not return: the process is the program's from here on, or ends with `NOT_STARTED`."""
    lifeline, command = int(argv[0]), argv[1:]
    watch_lifeline(lifeline)
    try:
        os.execvp(command[0], command)  # noqa: S606 (no shell is meant)
    except OSError as error:
        sys.stderr.write(f"{command[0]} cannot be started: {error.strerror}\n")
        sys.stderr.flush()
        os._exit(NOT_STARTED)


if __name__ == "__main__":
    main(sys.argv[1:])
