"""Hostile text in everything that a runner says, through every pane and dialog of the screen.

Run it as a script: `python tests/benchmarks/hostile_screen.py`. A runner in memory answers through a real socket; the
screen is in a pseudo terminal of 80x24 and of 160x48. After every key the sides of the frame have to stand where they
stood; of what was written nothing may be left but the sequences of the screen itself. It says how many texts were
hostile and how many keys were pressed. Exit code 1 where a fault was found.
"""

import sys
import tempfile
from pathlib import Path

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS), str(TESTS.parent)]

from support.screen_walk import COPYING, OVER, PANES, Walk  # noqa: E402

FORMS = ((), ("failing",), ("everywhere",))


def main() -> int:
    keys = [key for pane, more in PANES.items() for zoom in ((), ("z",)) for key in (pane, *zoom, *more, *zoom)]
    faults = 0
    for form in FORMS:
        for size in ((80, 24), (160, 48)):
            with tempfile.TemporaryDirectory(prefix="ift-") as folder:
                walk = Walk("support.hostile_control", *form, folder=Path(folder), size=size)
                walk.until("Quit")
                walk.settle(1.5)
                wrong = [each for key in (*keys, *OVER, *COPYING) for each in walk.press(key)] + walk.wrong()
                if (code := walk.end()) != 143:
                    wrong.append(f"it ended with {code}")
                places = int((Path(folder) / "places").read_text())
                name = " ".join(form) or "answers"
                pressed = len(keys) + len(OVER) + len(COPYING)
                print(f"{name}, {size[0]}x{size[1]}: {places} hostile texts, {pressed} keys,", end=" ")
                print(f"{len(walk.output)} bytes, faults: {len(wrong)}", flush=True)
                for each in wrong[:20]:
                    print(f"  {each!r}")
                faults += len(wrong)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
