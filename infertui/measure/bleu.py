"""BLEU between two sets of texts, by sacrebleu, which is imported when it is asked for and not before."""

from collections.abc import Sequence

from infertui.errors import UsageError


def bleu(reference: Sequence[str], other: Sequence[str]) -> float:
    """Corpus BLEU, 0 to 100, of `other` against one reference each, by sacrebleu's defaults.

    Post, "A Call for Clarity in Reporting BLEU Scores", 2018. Raises UsageError where sacrebleu is not installed.
    """
    try:
        import sacrebleu
    except ImportError as error:
        raise UsageError("BLEU needs sacrebleu, which is not installed", remedy="pip install sacrebleu") from error
    return float(sacrebleu.corpus_bleu(list(other), [list(reference)]).score)
