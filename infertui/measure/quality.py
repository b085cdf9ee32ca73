"""Whether a run generates what a reference does, token by token and by BLEU, and how well it predicts a text.

sacrebleu is imported when BLEU is asked for, and not before.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import TypeVar

from msgspec import Struct, structs

from infertui.errors import UsageError
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


T = TypeVar("T")
WINDOW = 1024
"""Most tokens that are scored in one piece. With fewer before it a token is harder to predict: real weights whose
perplexity is 23.8 in one window of 1,024 tokens have 32.7 in windows of 248, and 59.5 in windows of 64."""
EXACT_AGREEMENT = 0.9
"""`min_agreement = auto` where both sides compute in float32 with plain weights.

There rounding seldom decides between two tokens: different kernels of one model give the same tokens. In 16 bits it
does: on an H200 an eager batch of 8 shared 21 % of tokens with the same prompts one by one (TinyLlama's shape), 2 %
for the shape of an 8B Llama, both without being wrong, for once two outputs have parted they stay apart.
"""


TIE = 0.15
"""Logits that are less apart are a tie, which rounding decides: what stands behind it in an output is another text."""
MANY = 2
"""Outputs that have to part before they are told as different where the gap of the logits could not be found."""


class Quality(Struct, frozen=True):
    """What is known of a run's outputs; None is not available, and `reasons` says why, by field.

    `agreement` and `bleu` (0 to 100) compare greedy outputs with those of the run `reference` on the same prompts; a
    run that is its own reference is the first of its kind. `perplexity` is exp of the mean negative log-likelihood per
    token of `text`, over `text_tokens` predicted tokens, in windows of `window` tokens.
    """

    reference: str = ""
    agreement: Agreement | None = None
    bleu: float | None = None
    perplexity: float | None = None
    reference_perplexity: float | None = None
    text: str = ""
    """The name of the text, with the beginning of its SHA-256."""
    text_tokens: Whole = 0
    beyond: tuple[str, ...] = ()
    """What is beyond the thresholds of the config, in words; empty where nothing is."""
    reasons: dict[str, str] = {}
    window: Whole = 0
    gaps: dict[str, float] = {}
    """By how much, in logits, this run (or the reference, where that came later) preferred its own token where outputs
    part, by the beginning of the prompt's name: of those prompts that were looked at."""
    share_without_ties: float | None = None
    """The share of equal tokens when an output counts up to a tie alone; None where none was found."""
    scored_by: str = ""
    """What computed the likelihoods: which weights, which kernels."""


def perplexity(log_likelihood: float, tokens: int) -> float | None:
    """exp(-`log_likelihood` / `tokens`), from a sum in nats over predicted tokens; None where that is no number."""
    if tokens < 1 or not math.isfinite(log_likelihood):
        return None
    try:
        return math.exp(-log_likelihood / tokens)
    except OverflowError:
        return None


def window_of(positions: int | None) -> int:
    """Tokens of a window for a model of so many positions: the same whatever engine runs it, and on what workload."""
    return min(WINDOW, positions or WINDOW)


def windows(ids: Sequence[T], length: int) -> Iterator[Sequence[T]]:
    """Pieces of at most `length` (2 or more) tokens, each beginning with the last token of the one before.

    So every token but the first is predicted exactly once, by what stands before it in its window.
    """
    for begin in range(0, len(ids) - 1, length - 1):
        yield ids[begin : begin + length]


def same_text(one: Quality, other: Quality) -> bool:
    """Whether two perplexities are of the same predictions: equal text, tokens and windows."""
    return (one.text, one.text_tokens, one.window) == (other.text, other.text_tokens, other.window)


def without_ties(
    reference: Mapping[str, Sequence[int]], other: Mapping[str, Sequence[int]], gaps: Mapping[str, float]
) -> float | None:
    """The share of equal tokens among those up to where rounding decided; see `Quality.share_without_ties`.

    Where `gaps` tells of some partings only, the other outputs that part are left out. None where it tells of none.
    """
    partings = agreement(reference, other).diverged
    known = {name: gaps[name] for name in partings if name in gaps}
    if not known:
        return None
    ours: dict[str, Sequence[int]] = {}
    for name, output in other.items():
        if name not in partings:
            ours[name] = output
        elif name in known:
            ours[name] = output[: partings[name]] if abs(known[name]) < TIE else output
    counted = agreement(reference, ours).share
    return 1.0 if counted is None else counted


def beyond(found: Quality, *, min_agreement: float, max_rise: float) -> tuple[str, ...]:
    """What is beyond the thresholds, in words. A threshold of 0 is never crossed."""
    said = []
    share = found.agreement.share if found.agreement else None
    share = share if found.share_without_ties is None else found.share_without_ties
    if min_agreement and share is not None and share < min_agreement:
        at = found.agreement.first_divergence if found.agreement else None
        where = "" if at is None else f", the first to part at token {at + 1}"
        said.append(f"{share:.1%} of its tokens are the reference's, fewer than {min_agreement:.0%}{where}")
    before, now = found.reference_perplexity, found.perplexity
    if max_rise and before and now is not None and now > before * (1 + max_rise):
        said.append(f"perplexity {now:.4g}, {now / before - 1:.1%} above the reference's {before:.4g}")
    return tuple(said)


def bleu(reference: Sequence[str], other: Sequence[str]) -> float:
    """Corpus BLEU, 0 to 100, of `other` against one reference each, by sacrebleu's defaults.

    Post, "A Call for Clarity in Reporting BLEU Scores", 2018. Raises UsageError where sacrebleu is not installed.
    """
    try:
        import sacrebleu
    except ImportError as error:
        raise UsageError("BLEU needs sacrebleu, which is not installed", remedy="pip install sacrebleu") from error
    return float(sacrebleu.corpus_bleu(list(other), [list(reference)]).score)
