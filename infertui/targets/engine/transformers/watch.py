"""Watching the library's `generate` from the inside, without adding to the device's work.

Methods of the model are watched for the time of one batch: attributes of the instance, taken away again however the
batch ends.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from infertui.errors import EngineError
from infertui.targets.engine.base import Sink

if TYPE_CHECKING:
    import torch

_TESTED = "Use a version of Transformers that infertui was tested with; constraints.txt names one."


@contextmanager
def replaced(model: Any, methods: dict[str, Callable[..., Any]]) -> Iterator[None]:
    """Within it, the instance's methods of these names are those given."""
    for name in methods:
        if not hasattr(model, name):
            raise EngineError(f"this version of Transformers has no {name}, which infertui watches", remedy=_TESTED)
    try:
        for name, method in methods.items():
            setattr(model, name, method)
        yield
    finally:
        for name in methods:
            model.__dict__.pop(name, None)


class StepWatch:
    """Tells the moment at which `generate` itself learns that the tokens of a step are there.

    `generate` waits for the device once a step, to see whether all sequences are finished, and then asks
    `_has_unfinished_sequences`; that call is watched. It adds nothing to the device's work. The documented hooks do: on
    an H200, in eager GPT-2, a stopping criterion cost 1 % of throughput, recording a CUDA event in it 2 %, and a
    streamer, which waits for the device a second time, about as much.
    """

    def __init__(self, model: Any, sink: Sink, gained: Callable[[], int] = lambda: 1) -> None:
        self._ask = model._has_unfinished_sequences
        self._sink, self._gained = sink, gained
        self.steps, self.tokens = -1, 0

    def asked(self, *arguments: Any, **options: Any) -> bool:
        """In place of `_has_unfinished_sequences`."""
        unfinished: bool = self._ask(*arguments, **options)
        self.steps += 1
        if self.steps:  # the first time it is asked before any step
            tokens = self._gained()
            self.tokens += tokens
            self._sink.step(tokens)
        return unfinished


def check_steps_can_be_timed(device: "torch.device") -> None:
    """Raise EngineError where `generate` would run ahead of the device and learn of tokens a step late.

    Transformers has a deferred check, for `mps` alone as of 5.17 to 5.23; with it the watched call says nothing about
    when tokens are there.
    """
    from transformers.generation import utils

    deferred = getattr(utils, "DeferredStopCheck", None)
    if deferred is None or device.type == "cpu":
        return
    try:
        in_use = deferred.is_supported(device, None, False, is_assistant=False)
    except (AttributeError, TypeError):
        in_use = True
    if in_use:
        raise EngineError(
            "generate of this version of Transformers does not wait for its tokens, so they cannot be timed",
            remedy=_TESTED,
        )


def check_count(watch: StepWatch, tokens: int) -> None:
    """Raise EngineError when the steps that were told are not the tokens that came."""
    if watch.tokens != tokens:
        raise EngineError(
            f"generate made {tokens} tokens but {watch.tokens} were seen in {watch.steps} steps: "
            "the loop of this version cannot be timed",
            remedy=_TESTED,
        )
