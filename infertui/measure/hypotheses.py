"""In which ways what was measured in a row may depend on what was measured just before, and how likely each is.

An iteration's time is made of three parts: of slow wander, such as clocks or temperature, whose correlation falls
exponentially with time; of what is the iteration's own, such as its prompts; and of noise that is the same at any step.
Hypotheses are mixtures of these, a grid of them. Where only whole iterations are known, the last two are one.
"""

import functools
from typing import TYPE_CHECKING, TypeAlias

from msgspec import Struct

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

STRETCHES = 16
"""Into so many parts of equally many steps a batch is divided at most."""
_MOST_TOGETHER = 80
"""Stretches of all iterations that are looked at; of longer runs neighbouring ones are taken together."""
_AUTOREGRESSIVE = tuple(step / 10 for step in range(-9, 10))
_PARTLY = (0.5, 0.7, 0.8, 0.9, 0.95)
_WANDERS = (0.2, 0.5, 0.8, 0.95, 0.99)
"""Correlation of the wander with itself an iteration later."""
_SHARES = (0.3, 0.6)
_NOISES = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
"""Variance that noise at single steps gives an iteration, over that of all else."""


class Hypotheses(Struct, frozen=True, eq=False):
    """Of so many iterations, each in so many stretches; an entry or a matrix for each hypothesis.

    `priors` are logarithms of how likely each is beforehand, `doubts` the same for whoever suspects the worst, and
    `fears` for whoever takes slow wander for the likelier the slower it is. `of_mean` is the variance of the mean of
    all that was seen.
    `contrast` takes the unknown means out of what was seen, `inverses` and `determinants` (logarithms) are of the
    covariance that is left of it. The same of whole iterations, whose variance is 1 on average: `covariances`, and
    `of_iterations` is their inverse without the mean.
    """

    priors: "Floats"
    doubts: "Floats"
    fears: "Floats"
    of_mean: "Floats"
    contrast: "Floats"
    inverses: "Floats"
    determinants: "Floats"
    covariances: "Floats"
    of_iterations: "Floats"

    def likelihoods(self, seen: "Floats") -> "Floats":
        """Logarithms of how likely each makes what was seen, whatever its means and its scale."""
        import numpy as np

        return np.asarray(-0.5 * (self.determinants + len(self.contrast) * np.log(self._quadratic(seen))))

    def scales(self, seen: "Floats") -> "Floats":
        """By how much the covariances of each have to be multiplied to make what was seen, whatever its means."""
        return self._quadratic(seen) / len(self.contrast)

    def _quadratic(self, seen: "Floats") -> "Floats":
        import numpy as np

        return np.asarray(np.maximum(_squares(self.contrast @ seen, self.inverses), 1e-300))

    def squares(self, residuals: "Floats") -> "Floats":
        """What the residuals of iterations, on a line with 0 as their mean, have for a sum of squares under each."""
        return _squares(_differences(len(residuals)) @ residuals, self.of_iterations)


def stretches_for(iterations: int) -> int:
    """Into how many stretches each of so many iterations is divided to be looked at: a power of two; 1: into none."""
    count = STRETCHES
    while count > 1 and count * iterations > _MOST_TOGETHER:
        count //= 2
    return count


@functools.lru_cache(maxsize=8)
def hypotheses(iterations: int, stretches: int = 1) -> Hypotheses:
    """All that are considered; those of whole iterations where there is one stretch."""
    return _known(_of_iterations(iterations) if stretches == 1 else _of_stretches(iterations, stretches), stretches)


@functools.lru_cache(maxsize=8)
def wandering(iterations: int) -> Hypotheses:
    """Those of stretches, one for one, where only whole iterations are known."""
    return _known(_of_stretches(iterations, 1), 1)


def _known(chosen: "list[_Hypothesis]", stretches: int) -> Hypotheses:
    import numpy as np

    iterations = len(chosen[0][0]) // stretches
    covariances = np.array([covariance for covariance, _, _, _ in chosen])
    of_mean = covariances.mean(axis=(1, 2))
    contrast = np.asarray(np.kron(_differences(iterations), np.eye(stretches)), dtype=float)
    left = contrast @ covariances @ contrast.T
    determinants = np.linalg.slogdet(left)[1]
    inverses = of_iterations = np.linalg.inv(left)
    if stretches > 1:
        means = np.kron(np.eye(iterations), np.full((1, stretches), 1 / stretches))
        covariances = means @ covariances @ means.T
        covariances /= np.trace(covariances, axis1=1, axis2=2)[:, None, None] / iterations
        of_iterations = np.linalg.inv(_differences(iterations) @ covariances @ _differences(iterations).T)
    return Hypotheses(
        priors=np.log([prior for _, prior, _, _ in chosen]),
        doubts=np.log([doubt for _, _, doubt, _ in chosen]),
        fears=np.log([fear for _, _, _, fear in chosen]),
        of_mean=of_mean,
        contrast=contrast,
        inverses=inverses,
        determinants=determinants,
        covariances=covariances,
        of_iterations=of_iterations,
    )


_Hypothesis: TypeAlias = "tuple[Floats, float, float, float]"
"""A covariance, and how likely it is: beforehand, in doubt, in fear."""


def _of_iterations(count: int) -> list[_Hypothesis]:
    """Autoregressions of the first order, and wander of which noise hides a part."""
    import numpy as np

    apart = np.abs(np.subtract.outer(np.arange(count), np.arange(count)))
    found: list[_Hypothesis] = []
    for each in _AUTOREGRESSIVE:
        found.append((np.power(float(each), apart), 1 - each**2, 1 - each**2, 1.0))
    alone = np.eye(count)
    for each in _PARTLY:
        wander, prior = np.power(each, apart), 0.3 * (1 - each**2)
        found += [(share * wander + (1 - share) * alone, prior, 1.0, 1.0) for share in _SHARES]
    return found


def _of_stretches(iterations: int, stretches: int) -> list[_Hypothesis]:
    import numpy as np

    places = np.arange(iterations * stretches) / stretches
    apart = np.abs(np.subtract.outer(places, places))
    noise = np.eye(iterations * stretches)
    own = np.kron(np.eye(iterations), np.ones((stretches, stretches)))
    found: list[_Hypothesis] = [(noise, 1.0, 1.0, 1.0)]
    for amount in _NOISES:
        beside = amount * stretches * noise
        found.append((own + beside, 0.5, 0.5, 0.5))
        for each in _WANDERS:
            wander = np.power(each, apart)
            wander /= wander[:stretches, :stretches].mean()
            prior, fear = 0.5 * (1 - each**4), 0.5 / (1 - each**4) ** 0.5
            found += [(share * wander + (1 - share) * own + beside, prior, prior, fear) for share in (0.5, 1.0)]
    return found


def _squares(values: "Floats", inverses: "Floats") -> "Floats":
    import numpy as np

    return np.asarray((inverses @ values) @ values)


@functools.lru_cache(maxsize=64)
def _differences(count: int) -> "Floats":
    """Helmert's: each value against the mean of those before it, orthogonal and of length 1."""
    import numpy as np

    rows = np.tril(np.ones((count - 1, count))) - np.diag(np.arange(1.0, count), 1)[: count - 1]
    return np.asarray(rows / np.sqrt(np.square(rows).sum(axis=1, keepdims=True)))
