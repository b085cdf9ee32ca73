"""Whether two engines say the same: where their tokens part, and whether rounding can be the reason. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

Logits = Sequence[float]


class Expected(NamedTuple):
    """What the reference generated for a prompt's ids, and its logits at each position, all of the vocabulary."""

    prompt: tuple[int, ...]
    ids: tuple[int, ...]
    logits: Sequence[Logits]

    def margin(self, position: int) -> float:
        """By how much the chosen id's logit exceeds the next best one's."""
        chosen = self.ids[position]
        return self.logits[position][chosen] - max(
            value for token, value in enumerate(self.logits[position]) if token != chosen
        )


class Mismatch(NamedTuple):
    """Where an engine's tokens first part from the reference's; what follows is another text and says nothing.

    `gap` is by how much the reference prefers its own id to the engine's, in logits; None where the engine gave no id
    or none of the vocabulary.
    """

    engine: str
    prompt: str
    position: int
    expected: int
    got: int | None
    gap: float | None
    tie: bool

    def __str__(self) -> str:
        if self.gap is None:
            why = "there is no such token" if self.got is not None else "it gave no token"
        else:
            kind = "a tie that rounding decides" if self.tie else "no tie: a wrong token"
            why = f"the reference's logits are {self.gap:.3g} apart, {kind}"
        return (
            f"{self.engine}: prompt {self.prompt!r}, position {self.position}: "
            f"expected {self.expected}, got {self.got}; {why}"
        )


def mismatches(
    engine: str,
    outputs: Mapping[str, Sequence[int]],
    reference: Mapping[str, Expected],
    *,
    first: int,
    tie: float,
) -> Iterator[Mismatch]:
    """Where each prompt's first tokens part from the reference's; logits that are less than `tie` apart are a tie."""
    for prompt, expected in reference.items():
        ids = outputs.get(prompt, ())
        for position, wanted in enumerate(expected.ids[:first]):
            got = ids[position] if position < len(ids) else None
            if got == wanted:
                continue
            logits = expected.logits[position]
            known = got is not None and 0 <= got < len(logits)
            gap = logits[wanted] - logits[got] if got is not None and known else None
            yield Mismatch(engine, prompt, position, wanted, got, gap, gap is not None and gap < tie)
            break
