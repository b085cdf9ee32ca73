"""The text that is scored: bundled, or a user's file."""

from pathlib import Path

import pytest

from infertui.config.schema import QualityConfig
from infertui.errors import ConfigError
from infertui.load.prompts import load_text


def test_the_bundled_text_is_long_enough_for_the_default() -> None:
    text = load_text(QualityConfig())
    assert text.name.startswith("alice.txt ")
    assert "Alice was beginning to get very tired" in text.content
    assert len(text.content.split()) > 1500


def test_a_file_goes_by_its_name_and_its_content(tmp_path: Path) -> None:
    path = tmp_path / "mine\x1b.txt"
    path.write_text("Some text. " * 4000)
    first = load_text(QualityConfig(text_file=str(path), text_tokens=16))
    assert "\x1b" not in first.name
    assert len(first.content) == 16 * 32  # no more than so many tokens can need
    assert load_text(QualityConfig(text_file=str(path), text_tokens=32)).name == first.name
    path.write_text("Another text. " * 4000)
    assert load_text(QualityConfig(text_file=str(path), text_tokens=16)).name != first.name


@pytest.mark.parametrize(
    ("content", "said"), [(b"\xff\xfe\x00", "not UTF-8"), (b" \n ", "holds no text"), (None, "cannot read")]
)
def test_a_file_that_cannot_be_scored_is_refused(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "text"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=said) as refused:
        load_text(QualityConfig(text_file=str(path)))
    assert refused.value.path == "quality.text_file"


def test_a_folder_is_no_text(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a folder"):
        load_text(QualityConfig(text_file=str(tmp_path)))
