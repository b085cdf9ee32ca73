"""The text whose perplexity is asked for: a file of the user's, or the bundled one."""

import hashlib
from pathlib import Path

from msgspec import Struct

from infertui import paths
from infertui.config.schema import QualityConfig
from infertui.errors import ConfigError
from infertui.load.files import read_text
from infertui.text import clean

BUNDLED = "alice.txt"
MAX_FILE_BYTES = 64 << 20
_KEY = "quality.text_file"
_CHARACTERS = 32
"""Characters kept for each token that is to be scored: no tokenizer makes so few tokens of a text."""


class ScoredText(Struct, frozen=True):
    """A text and what it goes by: its name with the beginning of its SHA-256."""

    name: str
    content: str


def load_text(quality: QualityConfig) -> ScoredText:
    """As much of the text as `quality.text_tokens` can need. Raises ConfigError for a file that cannot be used."""
    if not quality.text_file:
        return _named(BUNDLED, (paths.data() / "texts" / BUNDLED).read_bytes().decode(), quality)
    path = Path(quality.text_file)
    text = read_text(_KEY, path, limit=MAX_FILE_BYTES, allowed="a text file")
    if not text.strip():
        raise ConfigError(_KEY, f"{clean(quality.text_file)} holds no text", allowed="a text file")
    return _named(clean(path.name), text, quality)


def _named(name: str, text: str, quality: QualityConfig) -> ScoredText:
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    return ScoredText(f"{name} {digest}", text[: quality.text_tokens * _CHARACTERS])
