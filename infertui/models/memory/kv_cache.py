"""What a model keeps of the tokens it has seen: keys and values, latents, windows, states. Pure arithmetic."""

from collections.abc import Iterable, Sequence

from msgspec import Struct

STATE_BYTES = 4
"""Recurrent states are summed up over the whole sequence, and most implementations keep them in float32."""


class CacheLayers(Struct, frozen=True):
    """Layers that keep the same.

    `keys` and `values` are the numbers that one layer keeps of one token, all its KV heads together: KV heads x head
    size each in ordinary attention, rank and rotary part of a latent one. With a `window` no more than so many
    tokens are kept. `state` are the numbers that a layer keeps of a sequence however long it is, as state-space and
    convolution layers do, of which `wide_state` are float32 whatever the model's format.
    """

    layers: int
    keys: int = 0
    values: int = 0
    window: int = 0
    state: int = 0
    wide_state: int = 0

    def held(self, tokens: int) -> int:
        """Tokens that are kept of so many."""
        return min(tokens, self.window) if self.window else tokens

    def token_bytes(self, key_bytes: float, value_bytes: float) -> float:
        """Bytes of one token in all these layers."""
        return self.layers * (self.keys * key_bytes + self.values * value_bytes)

    def state_bytes(self, size: float) -> float:
        """Bytes of one sequence's states in all these layers, in a format of `size` bytes."""
        return self.layers * ((self.state - self.wide_state) * size + self.wide_state * STATE_BYTES)


Cache = tuple[CacheLayers, ...]


def uniform(layers: int, kv_heads: int, head_dim: int, *, sliding: int = 0, window: int | None = None) -> Cache:
    """Ordinary attention in every layer, in `sliding` of them within a window."""
    width = kv_heads * head_dim
    sliding = sliding if window else 0
    found = (
        CacheLayers(layers - sliding, keys=width, values=width),
        CacheLayers(sliding, keys=width, values=width, window=window or 0),
    )
    return tuple(group for group in found if group.layers)


def gathered(layers: Iterable[CacheLayers]) -> Cache:
    """Layers that keep the same, counted together, in order of first appearance."""
    counts: dict[CacheLayers, int] = {}
    for each in layers:
        alike = CacheLayers(1, each.keys, each.values, each.window, each.state, each.wide_state)
        counts[alike] = counts.get(alike, 0) + each.layers
    return tuple(
        CacheLayers(count, alike.keys, alike.values, alike.window, alike.state, alike.wide_state)
        for alike, count in counts.items()
        if count
    )


def bytes_per_token(cache: Sequence[CacheLayers], key_bytes: float, value_bytes: float) -> float:
    """Bytes that one more token of one sequence takes while no window is full."""
    return sum(group.token_bytes(key_bytes, value_bytes) for group in cache)
