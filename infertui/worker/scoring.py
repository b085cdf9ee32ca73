"""How likely a text is to the loaded model: encoded by the engine, cut into windows, scored one after the other."""

import time
from collections.abc import Callable, Mapping

from infertui.errors import InfertuiError
from infertui.measure.quality import window_of, windows
from infertui.targets.base import Target
from infertui.text import clean
from infertui.worker.protocol import FindGaps, GapsFound, Score, Scored
from infertui.worker.stamps import Cancelled, Progress


class _TooLongError(Exception):
    """The time for scoring is over."""


def scored(target: Target, command: Score, progress: Progress, cancelled: Callable[[], bool]) -> Scored:
    """The answer to `command`, its time left out; a reason where the engine cannot, or not in that time.

    Raises `Cancelled`, and whatever a backend raises that is none of infertui's own errors.
    """
    scorer, loaded = target.scorer, target.loaded
    if scorer is None:
        return Scored(0, reason=f"the engine {loaded.engine} cannot tell how likely a text is")
    going_on = _going_on(command.timeout_s, progress, cancelled)
    try:
        target.release_memory()  # what the run cached: scoring has to do with what is left
        way = scorer.scoring()
        window = window_of(loaded.max_positions)
        ids = target.encode(command.text)[: command.tokens]
        if len(ids) < 2 or window < 2:
            return Scored(0, reason=f"there is nothing to predict in {len(ids)} tokens with windows of {window}")
        needed = min(window, len(ids))
        if way.positions is not None and way.positions < needed:
            return Scored(0, reason=_too_few(loaded.engine, way.positions, needed))
        total = 0.0
        for piece in windows(ids, window):
            going_on()
            total += scorer.score(piece, going_on)
        target.synchronize()
    except _TooLongError:
        return Scored(0, reason=f"scoring took longer than quality.score_timeout_s ({command.timeout_s:g} s)")
    except InfertuiError as error:
        return Scored(0, reason=clean(error.message))
    return Scored(0, log_likelihood=total, tokens=len(ids) - 1, window=window, how=way.how)


def gaps(
    target: Target,
    command: FindGaps,
    outputs: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]],
    progress: Progress,
    cancelled: Callable[[], bool],
) -> GapsFound:
    """The answer to `command`, its time left out. `outputs` has prompt and output by the prompt's name.

    A gap is ln p of the text with the token that was generated, less that with the other one: the softmax has one
    divisor for both, so it is the difference of their logits. Raises `Cancelled`, and what a backend raises.
    """
    scorer, loaded = target.scorer, target.loaded
    if scorer is None:
        return GapsFound(0, reason=f"the engine {loaded.engine} cannot tell how likely a text is")
    going_on = _going_on(command.timeout_s, progress, cancelled)
    found: dict[str, float] = {}
    try:
        room = scorer.scoring().positions
        for name, (place, other) in command.partings.items():
            prompt, output = outputs.get(name, ((), ()))
            before = (*prompt, *output[:place])
            if not before or place >= len(output) or not 0 <= other < loaded.vocabulary:
                continue
            if room is not None and len(before) >= room:
                continue
            likely = [scorer.score((*before, token), going_on) for token in (output[place], other)]
            found[name] = likely[0] - likely[1]
    except _TooLongError:
        return GapsFound(0, gaps=found, reason=f"looking took longer than {command.timeout_s:g} s")
    except InfertuiError as error:
        return GapsFound(0, gaps=found, reason=clean(error.message))
    return GapsFound(0, gaps=found)


def _going_on(timeout_s: float, progress: Progress, cancelled: Callable[[], bool]) -> Callable[[], None]:
    """What is called at each step from now on: it counts, and raises once this is cancelled or its time is over."""
    until = time.monotonic() + timeout_s

    def step() -> None:
        progress.step += 1
        if cancelled():
            raise Cancelled
        if time.monotonic() > until:
            raise _TooLongError

    return step


def _too_few(engine: str, positions: int, needed: int) -> str:
    """Shorter windows would give another perplexity, higher by half and more: none is better than that one."""
    return (
        f"{engine} was loaded with room for {positions} tokens of a sequence, and the text is scored in windows of "
        f"{needed} by every engine: prompt and output of {needed + 1} tokens or more would give it that room"
    )
