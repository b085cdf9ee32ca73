"""BLEU between what runs generated, by the model's own tokenizer."""

from pathlib import Path

import pytest
from support.checkpoints import save_llama, save_tokenizer

from infertui.errors import ModelError
from infertui.models.resolve import resolve
from infertui.models.tokenizers import load_tokenizer
from infertui.runner.execution.references import outputs_bleu

pytest.importorskip("transformers", reason="transformers is not installed: nothing makes the checkpoint")
pytest.importorskip("sacrebleu", reason="sacrebleu is not installed: pip install infertui[bleu]")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    save_tokenizer(folder)
    save_llama(folder)
    return folder


def test_texts_are_compared_not_ids(checkpoint: Path) -> None:
    tokenizer = load_tokenizer(resolve(str(checkpoint)))
    said = tokenizer.encode("the quick brown fox jumps over the lazy dog")
    assert tokenizer.decode(said) == "the quick brown fox jumps over the lazy dog"
    other = tokenizer.encode("the quick brown fox jumps over one small cat")
    assert outputs_bleu(str(checkpoint), "", {"a": said, "b": said}, {"a": said}) == pytest.approx(100)
    assert 0 < outputs_bleu(str(checkpoint), "", {"a": said}, {"a": other}) < 80


def test_what_has_no_text_is_refused_with_the_reason(checkpoint: Path) -> None:
    with pytest.raises(ModelError, match="random weights: its output is no text"):
        outputs_bleu("synthetic:nano", "", {"a": [1]}, {"a": [1]})
    with pytest.raises(ModelError, match="no prompt in common"):
        outputs_bleu(str(checkpoint), "", {"a": [1]}, {"b": [1]})
    (checkpoint / "tokenizer.json").rename(checkpoint / "gone.json")
    with pytest.raises(ModelError, match=r"has no tokenizer\.json"):
        outputs_bleu(str(checkpoint), "", {"a": [1]}, {"a": [1]})
