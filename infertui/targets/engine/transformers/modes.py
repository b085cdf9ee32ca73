"""What a way of generating is: `engine.mode` picks one, the engine hands everything else to it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from infertui.targets.engine.base import Batch, EffectiveSettings, Generated, GenerationPlan, Getting, Sink

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Held:
    """A loaded model, in evaluation mode on its device. `pad_id` fills up short prompts; it is always masked."""

    model: Any
    device: "torch.device"
    pad_id: int


class ExecutionMode(Protocol):
    """One way of generating with a loaded model. The methods are those of `Engine`."""

    def prepare(self, plan: GenerationPlan, enter: Callable[[Getting], None]) -> None:
        """Compile, capture, allocate for this plan; what an earlier plan left is given up."""
        ...

    def generate(self, batch: Batch, sink: Sink) -> Generated: ...

    def effective(self) -> EffectiveSettings:
        """What it found in force while it generated; options that it cannot see are left out."""
        ...

    def release(self) -> None:
        """Give up caches, graphs and threads; the next `prepare` or `generate` gets them anew."""
        ...
