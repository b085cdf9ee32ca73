"""Whether runs generated the same tokens as one of them, prompt by prompt, and how well they predict the same text."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from infertui.cli.output import say
from infertui.cli.table import print_table
from infertui.errors import InfertuiError, UsageError
from infertui.measure.quality import agreement, same_text
from infertui.metrics.metric import NOT_AVAILABLE
from infertui.metrics.reads import caveats, form, ran
from infertui.text import clean

if TYPE_CHECKING:
    from infertui.results.result import Result
    from infertui.results.runs import Store

HEAD = ("run", "engine", "mode", "format", "perplexity", "marks", "prompts", "equal", "same tokens")
Outputs = Mapping[str, tuple[int, ...]]


def print_agreement(store: "Store", reference: str, results: "Sequence[Result]", *, bleu: bool = False) -> None:
    """A row for each result beside `reference`, a run's id; with `bleu` also that of the outputs as text.

    Raises UsageError where that run kept no tokens, or where sacrebleu is missing.
    """
    ours = store.outputs(reference)
    if not ours:
        raise UsageError(
            f"no generated tokens are kept of {clean(reference)}",
            remedy="Name a run of `infertui results` whose folder holds an outputs.jsonl.",
        )
    known = store.result_of(reference)
    if known and (temperature := known.setup.temperature or 0.0) > 0:
        raise UsageError(
            f"the tokens of {clean(reference)} were sampled (workload.temperature "
            f"{temperature:g}): other runs need not say the same",
            remedy="Name a run with workload.temperature = 0.",
        )
    others = [result for result in results if result.id != reference]
    if known and known.quality and known.quality.perplexity is not None:
        quality = known.quality
        say(
            f"the reference's perplexity: {quality.perplexity:.4g} on {quality.text_tokens:,} tokens of "
            f"{clean(quality.text)}",
            err=True,
        )
    head = (*HEAD, *(("BLEU",) if bleu else ()), "parts first at")
    print_table(head, list(_rows(store, ours, known, others, bleu=bleu)))


def _engine(result: "Result") -> str:
    return result.loaded.engine if result.loaded else result.setup.target.name or ""


def _rows(
    store: "Store", ours: Outputs, known: "Result | None", results: "Sequence[Result]", *, bleu: bool
) -> Iterator[tuple[str, ...]]:
    whose = _engine(known) if known else ""
    for result in results:
        engine = _engine(result)
        mode = clean(ran(result)) or NOT_AVAILABLE
        marks = ", ".join(caveats(result)) or "-"
        what = (clean(result.id), clean(engine), mode, form(result) or NOT_AVAILABLE, _perplexity(result, known), marks)
        if (temperature := result.setup.temperature or 0.0) > 0:
            sampled = f"sampled at temperature {temperature:g}: it need not say the same"
            yield (*what, "0", "-", "-", *(("-",) if bleu else ()), sampled)
            continue
        theirs = store.outputs(result.id)
        found = agreement(ours, theirs)
        if found.share is None:
            missing = "nothing was kept" if not theirs else "no prompt in common"
            yield (*what, "0", "-", "-", *(("-",) if bleu else ()), missing)
            continue
        at = "-" if found.first_divergence is None else f"token {found.first_divergence + 1}"
        if not found.exact and engine != whose and result.loaded and result.loaded.random_weights:
            at += ": random weights, which engines draw for themselves"
        same: tuple[str, ...] = (str(found.prompts), f"{found.equal} of {found.prompts}", f"{found.share:.1%}")
        if bleu:
            score, why = _bleu(result, ours, theirs)
            same, at = (*same, score), f"{at}; no BLEU: {why}" if why else at
        yield (*what, *same, at)


def _perplexity(result: "Result", reference: "Result | None") -> str:
    """With the change from the reference's, where both were scored on the same."""
    quality, other = result.quality, reference.quality if reference else None
    if quality is None or quality.perplexity is None:
        return NOT_AVAILABLE
    if other is None or not other.perplexity or not same_text(quality, other):
        return f"{quality.perplexity:.4g}"
    return f"{quality.perplexity:.4g} ({quality.perplexity / other.perplexity - 1:+.2%})"


def _bleu(result: "Result", ours: Outputs, theirs: Outputs) -> tuple[str, str]:
    """The score, or why there is none. Raises UsageError where sacrebleu is missing."""
    from infertui.runner.execution.references import outputs_bleu

    model = result.setup.model
    if model is None:
        return NOT_AVAILABLE, "which model it was is not known"
    try:
        return f"{outputs_bleu(model, result.setup.revision or '', ours, theirs):.1f}", ""
    except UsageError:
        raise
    except InfertuiError as error:
        return NOT_AVAILABLE, clean(error.message)
