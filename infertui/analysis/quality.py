"""What is known of a run's outputs, in words: its tokens beside a reference's, and how well it predicts a text."""

from collections.abc import Iterator

from infertui.config.schema import QualityConfig
from infertui.measure.quality import TIE, Quality
from infertui.results.result import Result
from infertui.text import clean

DIVERGED = "DIVERGED"
"""The name of the row that says what is beyond a threshold."""


def quality_rows(result: Result, *, brief: bool = False) -> list[tuple[str, str]]:
    """Name and text of each; with `brief` no reasons but of what the config asks for by name."""
    quality = result.quality
    if quality is None:
        return []
    rows = [(DIVERGED, text) for text in quality.beyond]
    rows += list(_known(result.id, quality, brief=brief))
    for name, reason in quality.reasons.items():
        if reason != _first(quality) and (not brief or _is_asked_for(name, result.config.quality)):
            rows.append((name.replace("_", " "), f"n/a: {reason}"))
    return [(clean(name), clean(text)) for name, text in rows]


def _known(run: str, quality: Quality, *, brief: bool) -> Iterator[tuple[str, str]]:
    found = quality.agreement
    whose = "the reference's" if brief else f"those of {quality.reference}"
    if quality.reference and quality.reference == run:
        yield "agreement", _first(quality) or "is the reference"
    elif found is not None and found.share is not None:
        at = found.first_divergence
        where = "" if at is None else f", the first to part at token {at + 1}"
        first = "" if at != 0 else f"; {found.begun_alike} begin with the same token"
        outputs = f"{found.equal} of {found.prompts} outputs the same"
        yield "agreement", f"{found.share:.1%} of tokens are {whose}, {outputs}{where}{first}{_ties(quality)}"
    if quality.bleu is not None:
        yield "BLEU", f"{quality.bleu:.1f} against the reference's outputs (sacrebleu)"
    if quality.perplexity is not None:
        other = quality.reference_perplexity
        change = f" (reference {other:.4g}, {quality.perplexity / other - 1:+.2%})" if other else ""
        how = "" if brief else f", in windows of {quality.window}; by {quality.scored_by}"
        yield (
            "perplexity",
            f"{quality.perplexity:.4g}{change} on {quality.text_tokens:,} tokens of {quality.text}{how}",
        )


def _ties(quality: Quality) -> str:
    """What the logits say of where outputs part."""
    if quality.share_without_ties is None:
        return ""
    ties = sum(abs(gap) < TIE for gap in quality.gaps.values())
    least = min(map(abs, quality.gaps.values()))
    return (
        f"; {ties} of the {len(quality.gaps)} partings looked at are ties of the logits ({least:.2g} apart and more), "
        f"{quality.share_without_ties:.1%} up to these"
    )


def _is_asked_for(name: str, config: QualityConfig) -> bool:
    match name:
        case "agreement":
            return config.reference not in ("auto", "none")
        case "perplexity":
            return config.perplexity == "on" or (config.perplexity == "auto" and bool(config.text_file))
        case "reference_perplexity":
            return True  # that a figure is not compared is never left out in silence
        case "bleu":
            return config.bleu
        case _:
            return False


def _first(quality: Quality) -> str:
    """What is said in the place of an agreement of a run that others are compared with."""
    reason = quality.reasons.get("agreement", "")
    return reason if reason.startswith("is the reference") else ""
