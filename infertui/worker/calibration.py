"""The child process that measures a device's ceilings.

Started as `python -m infertui.worker.calibration EVENTS COMMANDS LIFELINE DEVICE THREADS EFFORT` with three inherited
pipe ends, in a session of its own. It says what it is going to measure, waits for a byte, and measures; each thing
that it tells is a JSON line. The watchdog is that of a worker: it ends with its parent, however that ends.
"""

import os
import signal
import sys
import traceback

import msgspec

from infertui.endings import NOT_FOR_WORKERS
from infertui.errors import InfertuiError
from infertui.targets.engine.peaks.peaks import Refused, Told, measure
from infertui.text import clean
from infertui.worker.lifeline import watch_lifeline

MAX_LINE = 1 << 20

_decoder: msgspec.json.Decoder[Told] = msgspec.json.Decoder(Told)


def decode(line: bytes) -> Told:
    """What a line says. Raises msgspec.DecodeError."""
    return _decoder.decode(line)


def main(argv: list[str]) -> None:
    """Entry point."""
    events, commands, lifeline = map(int, argv[:3])
    device, threads, effort = argv[3], int(argv[4]), argv[5]
    watch_lifeline(lifeline, events, commands)
    for number in NOT_FOR_WORKERS:  # they are the parent's to act on
        signal.signal(number, signal.SIG_IGN)

    def tell(told: Told) -> None:
        line = memoryview(msgspec.json.encode(told) + b"\n")
        while line:
            line = line[os.write(events, line) :]

    try:
        from infertui.targets.engine.peaks.pick import pick

        bench = pick(device, threads, quick=effort == "quick")
        tell(bench.subject)
        if os.read(commands, 1):
            for told in measure(bench):
                tell(told)
            os.read(commands, 1)  # the parent reads how much CPU time this took, and ends it
    except InfertuiError as error:
        tell(Refused(error.message, error.remedy))
    except BrokenPipeError:
        pass  # nobody listens any more
    except Exception as error:  # noqa: BLE001 (a driver may fail in any way; the parent has to hear of it)
        traceback.print_exc()
        tell(Refused(f"{type(error).__name__}: {clean(str(error))[:500]}"))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # the shutdown of a backend can hang; everything was said


if __name__ == "__main__":
    main(sys.argv[1:])
