"""What a captured decode step works on: tensors at fixed addresses, and how the next token is chosen."""

from typing import TYPE_CHECKING, Any

from infertui.targets.engine.base import Plan

if TYPE_CHECKING:
    import torch


class GraphState:
    """The state of a batch on the device, advanced by each step without the host.

    token[batch, 1] is the last token of each sequence; `filled` ([1]) counts the cache positions that hold earlier
    ones, of which the first padding[batch] are none; outputs[batch, positions + 1] holds every token at its position.
    """

    def __init__(self, cache: Any, plan: Plan, positions: int, device: "torch.device") -> None:
        import torch

        self.cache, self.batch, self.positions = cache, plan.batch_size, positions
        self.greedy = plan.temperature == 0
        self._plan = plan
        whole = {"dtype": torch.int64, "device": device}
        self.token = torch.zeros((plan.batch_size, 1), **whole)
        self.filled = torch.zeros(1, **whole)
        self.padding = torch.zeros(plan.batch_size, **whole)
        self.outputs = torch.zeros((plan.batch_size, positions + 1), **whole)
        self.every = torch.arange(positions, device=device)

    def begin(self, padding: list[int]) -> None:
        """Forget the batch before; nothing is allocated."""
        import torch

        self.filled.zero_()
        self.padding.copy_(torch.tensor(padding))
        for layer in self.cache.layers:
            layer.cumulative_length.zero_()

    def choose(self, logits: "torch.Tensor") -> None:
        """Take the next token of each sequence from logits[batch, vocabulary]; all on the device."""
        chosen = logits.argmax(-1) if self.greedy else self._sampled(logits)
        self.token.copy_(chosen[:, None])
        self.filled.add_(1)
        self.outputs.index_copy_(1, self.filled, self.token)

    def _sampled(self, logits: "torch.Tensor") -> "torch.Tensor":
        import torch

        plan = self._plan
        logits = logits.float() / plan.temperature
        if plan.top_k:
            least = logits.topk(min(plan.top_k, logits.shape[-1])).values[:, -1:]
            logits = logits.masked_fill(logits < least, float("-inf"))
        if plan.top_p < 1:
            ordered, order = logits.sort(descending=True)
            before = ordered.softmax(-1).cumsum(-1) - ordered.softmax(-1)
            ordered = ordered.masked_fill(before >= plan.top_p, float("-inf"))
            logits = torch.full_like(logits, float("-inf")).scatter(1, order, ordered)
        # The largest of probability / exponential noise is a draw from the distribution, without asking the host.
        return (logits.softmax(-1) / torch.empty_like(logits).exponential_()).argmax(-1)
