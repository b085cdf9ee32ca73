"""The text whose perplexity is asked for: a file of the user's, or the bundled one."""

import hashlib
from pathlib import Path

from msgspec import Struct

from infertui import resources
from infertui.config.schema import QualityConfig
from infertui.errors import ConfigError
from infertui.models.disk import read_at_most
from infertui.terminal_text import clean

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
        return _named(BUNDLED, (resources.data() / "texts" / BUNDLED).read_bytes().decode(), quality)
    shown = clean(quality.text_file)
    try:
        path = Path(quality.text_file).expanduser()
        content = read_at_most(path, MAX_FILE_BYTES)
        if content is None:
            raise ConfigError(_KEY, f"{shown} is larger than 64 MiB", allowed="a text file")
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(_KEY, f"{shown} is not UTF-8 text (byte {error.start})", allowed="UTF-8 text") from error
    except (OSError, RuntimeError, ValueError) as error:
        why = getattr(error, "strerror", None) or clean(str(error))
        raise ConfigError(_KEY, f"cannot read {shown}: {why}", allowed="a readable file") from error
    if not text.strip():
        raise ConfigError(_KEY, f"{shown} holds no text", allowed="a text file")
    return _named(clean(path.name), text, quality)


def _named(name: str, text: str, quality: QualityConfig) -> ScoredText:
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    return ScoredText(f"{name} {digest}", text[: quality.text_tokens * _CHARACTERS])
