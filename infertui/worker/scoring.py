"""How likely a text is to the loaded model: encoded by the engine, cut into windows, scored one after the other."""

import time
from collections.abc import Callable

from infertui.engines.base import Engine, Loaded, Scoring
from infertui.errors import InfertuiError
from infertui.measure.quality import window_of, windows
from infertui.terminal_text import clean
from infertui.worker.protocol import Score, Scored
from infertui.worker.stamps import Cancelled, Progress


class _TooLongError(Exception):
    """The time for scoring is over."""


def scored(engine: Engine, loaded: Loaded, command: Score, progress: Progress, cancelled: Callable[[], bool]) -> Scored:
    """The answer to `command`, its time left out; a reason where the engine cannot, or not in that time.

    Raises `Cancelled`, and whatever a backend raises that is none of infertui's own errors.
    """
    able: object = engine
    if not isinstance(able, Scoring):
        return Scored(0, reason=f"the engine {loaded.engine} cannot tell how likely a text is")
    until = time.monotonic() + command.timeout_s

    def going_on() -> None:
        progress.step += 1
        if cancelled():
            raise Cancelled
        if time.monotonic() > until:
            raise _TooLongError

    try:
        engine.release_memory()  # what the run cached: scoring has to do with what is left
        way = able.scoring()
        window = window_of(loaded.max_positions)
        ids = engine.encode(command.text)[: command.tokens]
        if len(ids) < 2 or window < 2:
            return Scored(0, reason=f"there is nothing to predict in {len(ids)} tokens with windows of {window}")
        needed = min(window, len(ids))
        if way.positions is not None and way.positions < needed:
            return Scored(0, reason=_too_few(loaded.engine, way.positions, needed))
        total = 0.0
        for piece in windows(ids, window):
            going_on()
            total += able.score(piece, going_on)
        engine.synchronize()
    except _TooLongError:
        return Scored(0, reason=f"scoring took longer than quality.score_timeout_s ({command.timeout_s:g} s)")
    except InfertuiError as error:
        return Scored(0, reason=clean(error.message))
    return Scored(0, log_likelihood=total, tokens=len(ids) - 1, window=window, how=way.how)


def _too_few(engine: str, positions: int, needed: int) -> str:
    """Shorter windows would give another perplexity, higher by half and more: none is better than that one."""
    return (
        f"{engine} was loaded with room for {positions} tokens of a sequence, and the text is scored in windows of "
        f"{needed} by every engine: prompt and output of {needed + 1} tokens or more would give it that room"
    )
