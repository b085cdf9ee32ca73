"""How near decoding comes to what the memory allows.

A decode step reads every weight once for the whole batch, and the keys and values of each sequence so far. At small
batches that, not arithmetic, bounds its time: the bytes over the bandwidth are the least that a step can take.
"""

from msgspec import Struct


class DecodeReads(Struct, frozen=True):
    """What a decode step has to read at least, in bytes: weights once, a sequence's KV cache for each sequence."""

    weights: int
    kv_per_token: int
    batch_size: int
    context: float
    """Mean length of a sequence while it is decoded, in tokens."""

    @property
    def kv(self) -> float:
        """Bytes of all sequences' keys and values."""
        return self.kv_per_token * self.batch_size * self.context

    @property
    def bytes(self) -> float:
        """Bytes of a step."""
        return self.weights + self.kv

    def limit(self, bandwidth: float) -> float:
        """The most tokens per second, all sequences together, at `bandwidth` bytes per second."""
        return self.batch_size * bandwidth / self.bytes

    def share(self, step_s: float, bandwidth: float) -> float:
        """MBU, memory bandwidth utilisation: the bytes of a step over its time, as a share of `bandwidth`."""
        return self.bytes / step_s / bandwidth


def mean_context(prompt_tokens: float, output_tokens: float) -> float:
    """Tokens that a step attends to on average: the prompt and half of the output."""
    return prompt_tokens + output_tokens / 2
