"""BLEU, which is sacrebleu's."""

import sys

import pytest

from infertui.errors import UsageError
from infertui.measure.quality import bleu

TEXT = ["The cat sat on the mat by the door.", "It was a fine day, and nobody had anything to do."]


def test_equal_texts_have_a_hundred_and_others_less() -> None:
    pytest.importorskip("sacrebleu", reason="sacrebleu is not installed: pip install infertui[bleu]")
    assert bleu(TEXT, TEXT) == pytest.approx(100)
    assert 0 < bleu(TEXT, ["The cat sat on the mat near a window.", TEXT[1]]) < 100
    assert bleu(TEXT, ["x", "y"]) < 1


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    with pytest.raises(UsageError, match="not installed") as refused:
        bleu(TEXT, TEXT)
    assert "pip install sacrebleu" in refused.value.remedy
