"""The load generator: a process of its own, which executes a part of a plan and stamps what comes.

Started as `python -m infertui.worker.loadgen EVENTS COMMANDS LIFELINE` with three inherited pipe ends, in a session of
its own. It imports nothing of engines, and nothing of the screen.
"""

import sys

from infertui.worker.loadgen.child import main

if __name__ == "__main__":
    main(sys.argv[1:])
