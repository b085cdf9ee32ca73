"""Sinks that engines tell their tokens to."""

from collections.abc import Callable

from infertui.measure.clock import Clock, MonotonicClock


class Stamps:
    """Notes when steps came and how many tokens each carried; for engines that schedule sequences, per sequence."""

    def __init__(self, clock: Clock | None = None, *, then: Callable[[], None] = lambda: None) -> None:
        self._clock = clock or MonotonicClock()
        self._then = then
        self.steps: list[int] = []
        self.tokens: list[int] = []
        self.sequences: dict[int, list[tuple[int, int]]] = {}

    def step(self, tokens: int = 1) -> None:
        self.steps.append(self._clock.now_ns())
        self.tokens.append(tokens)
        self._then()

    def gained(self, sequence: int, tokens: int = 1) -> None:
        self.sequences.setdefault(sequence, []).append((self._clock.now_ns(), tokens))
        self._then()
