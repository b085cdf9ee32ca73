"""Whether a run says the same as a reference, and how well it predicts a text."""

from msgspec import Struct

from infertui.measure.agreement import Agreement


class Quality(Struct, frozen=True):
    """What is known of a run's outputs; None is not available, and `reasons` says why, by field.

    `agreement` and `bleu` (0 to 100) compare greedy outputs with those of the run `reference` on the same prompts.
    `perplexity` is exp of the mean negative log-likelihood per token of `text`, over `text_tokens` predicted tokens.
    """

    reference: str = ""
    agreement: Agreement | None = None
    bleu: float | None = None
    perplexity: float | None = None
    reference_perplexity: float | None = None
    text: str = ""
    """The name of the text, with the beginning of its SHA-256."""
    text_tokens: int = 0
    beyond: tuple[str, ...] = ()
    """What is beyond the thresholds of the config, in words; empty where nothing is."""
    reasons: dict[str, str] = {}
