"""BLEU between what two runs generated: their token ids turned into text by the model's tokenizer."""

from collections.abc import Mapping, Sequence

from infertui.errors import ModelError
from infertui.measure.bleu import bleu
from infertui.models.resolve import resolve
from infertui.models.tokenizers import load_tokenizer
from infertui.text import clean


def outputs_bleu(
    model: str, revision: str, reference: Mapping[str, Sequence[int]], other: Mapping[str, Sequence[int]]
) -> float:
    """Of the prompts that both have; the keys name prompts in both.

    Raises ModelError where the model is not here, has random weights or no tokenizer.json, or no prompt is in both;
    UsageError and EngineError where a library is missing.
    """
    source = resolve(model, revision)
    if source.kind == "synthetic":
        raise ModelError(f"{clean(model)} has random weights: its output is no text")
    if source.kind == "gguf":
        raise ModelError(f"{clean(model)} is a GGUF file: its tokenizer is in no tokenizer.json")
    shared = [name for name in reference if name in other]
    if not shared:
        raise ModelError("the two runs have no prompt in common")
    decode = load_tokenizer(source).decode
    return bleu([decode(reference[name]) for name in shared], [decode(other[name]) for name in shared])
