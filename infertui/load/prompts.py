"""Where prompts come from: bundled sets, files, or nowhere (random token ids).

And the text whose perplexity is asked for.
"""

import hashlib
from pathlib import Path

from msgspec import Struct

from infertui import paths, regular_files
from infertui.config.schema import QualityConfig, WorkloadConfig
from infertui.errors import ConfigError
from infertui.load.promptfiles import PromptFile
from infertui.text import clean


def read_text(key: str, path: Path, *, limit: int, allowed: str) -> str:
    """The text of the regular file `path` of at most `limit` bytes, UTF-8 with or without a mark; `~` is home.

    `key` is the config's key that names it, `allowed` the words for what it may be. Raises ConfigError. What is no
    regular file is refused unopened: a device may never end, and a pipe tells its content once.
    """
    name = clean(str(path))
    try:
        return regular_files.read(path.expanduser(), limit).decode("utf-8-sig")
    except regular_files.NotRegularError as error:
        raise ConfigError(key, f"{name} is {error.kind}", allowed=allowed) from error
    except regular_files.TooLargeError as error:
        raise ConfigError(key, f"{name} is larger than {regular_files.whole(limit)}", allowed=allowed) from error
    except regular_files.NoNameError as error:
        raise ConfigError(key, f"cannot read {name}: that is no file name", allowed="a readable file") from error
    except UnicodeDecodeError as error:
        wide = ", it seems to be UTF-16" if error.object[:2] in (b"\xff\xfe", b"\xfe\xff") else ""
        raise ConfigError(key, f"{name} is not UTF-8 text (byte {error.start}{wide})", allowed="UTF-8 text") from error
    except OSError as error:
        raise ConfigError(key, f"cannot read {name}: {error.strerror}", allowed="a readable file") from error
    except RuntimeError as error:  # of expanduser
        raise ConfigError(key, f"cannot read {name}: that home is not known", allowed="a readable file") from error


MAX_FILE_BYTES = 1 << 30

_KEY = "workload.prompts_file"


def load_prompts(workload: WorkloadConfig) -> tuple[str, ...]:
    """The texts of a workload, in order; empty for random token ids. Raises ConfigError for an unusable file."""
    if workload.prompts_file:
        return read_prompts(Path(workload.prompts_file))
    if workload.prompts == "random":
        return ()
    bundled = (paths.data() / f"prompts_{workload.prompts}.txt").read_text(encoding="utf-8")
    return PromptFile(_KEY, bundled, workload.prompts).lines()


def read_prompts(path: Path) -> tuple[str, ...]:
    """Prompts of a file; what it is, its content says: see `PromptFile`. `~` is the home directory.

    Raises ConfigError for a file that cannot be read, holds no prompt, or is of a form that is not known.
    """
    name = clean(str(path))
    text = read_text(_KEY, path, limit=MAX_FILE_BYTES, allowed="a text, JSON, JSONL or CSV file of prompts")
    prompts = PromptFile(_KEY, text, name, suffix=path.suffix.lower()).prompts()
    if not prompts:
        raise ConfigError(_KEY, f"{name} holds no prompt", allowed="one prompt a line")
    return prompts


BUNDLED = "alice.txt"
MAX_TEXT_BYTES = 64 << 20
_TEXT_KEY = "quality.text_file"
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
    text = read_text(_TEXT_KEY, path, limit=MAX_TEXT_BYTES, allowed="a text file")
    if not text.strip():
        raise ConfigError(_TEXT_KEY, f"{clean(quality.text_file)} holds no text", allowed="a text file")
    return _named(clean(path.name), text, quality)


def _named(name: str, text: str, quality: QualityConfig) -> ScoredText:
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    return ScoredText(f"{name} {digest}", text[: quality.text_tokens * _CHARACTERS])
