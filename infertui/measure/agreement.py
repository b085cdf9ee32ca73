"""Whether two engines, or two settings of one, generate the same tokens for the same prompts."""

from collections.abc import Mapping, Sequence
from itertools import zip_longest

from msgspec import Struct, structs

from infertui.integers import Whole

_NAME = 12


class Agreement(Struct, frozen=True):
    """How far two sets of outputs agree, prompt by prompt.

    `prompts` are in both sets. `share` is that of equal tokens among all positions that both outputs have; None where
    there is none. `diverged` maps each prompt whose outputs are not the same to the first position, from 0, at which
    they part: the shorter one's length where the longer one begins with it. `first_divergence` is the least of these.
    """

    prompts: Whole
    equal: Whole
    share: float | None
    diverged: dict[str, Whole]
    first_divergence: Whole | None

    @property
    def exact(self) -> bool:
        """Whether every prompt that was compared has the same output, and there was one to compare."""
        return self.prompts > 0 and self.equal == self.prompts

    @property
    def begun_alike(self) -> int:
        """Prompts whose first token is the same: the one position to which no earlier difference led."""
        return self.prompts - sum(at == 0 for at in self.diverged.values())

    def brief(self) -> "Agreement":
        """This, with the names of prompts cut to what tells 64 of them apart: it is kept with every result."""
        return structs.replace(self, diverged={name[:_NAME]: at for name, at in self.diverged.items()})


def agreement(reference: Mapping[str, Sequence[int]], other: Mapping[str, Sequence[int]]) -> Agreement:
    """Compare token ids by prompt; the keys name prompts in both. Prompts of one side alone are left out."""
    shared = [key for key in reference if key in other]
    diverged: dict[str, int] = {}
    compared = same = 0
    for key in shared:
        pairs = list(zip_longest(reference[key], other[key]))
        compared += min(len(reference[key]), len(other[key]))
        same += sum(left == right for left, right in pairs)
        parted = next((at for at, (left, right) in enumerate(pairs) if left != right), None)
        if parted is not None:
            diverged[key] = parted
    return Agreement(
        prompts=len(shared),
        equal=len(shared) - len(diverged),
        share=same / compared if compared else None,
        diverged=diverged,
        first_divergence=min(diverged.values(), default=None),
    )
