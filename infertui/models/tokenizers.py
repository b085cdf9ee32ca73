"""The tokenizer of a model, without its engine: every engine that has none of its own gets the same token ids here.

A checkpoint's tokenizer.json says everything: how text is split, which ids it becomes, and which special tokens are put
around it. It is what Transformers' AutoTokenizer reads, too, and its answers are the measure.

Synthetic models have one token per UTF-8 byte: any prompt has a known, repeatable number of tokens, and every id that a
model of any vocabulary emits can be shown.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from infertui import regular_files
from infertui.errors import EngineError, ModelError
from infertui.models.disk import read_at_most
from infertui.models.resolve import ModelSource, resolve
from infertui.paths import expand
from infertui.regular_files import is_file
from infertui.text import clean, one_line

if TYPE_CHECKING:
    import tokenizers

PLACEHOLDER = "\N{WHITE VERTICAL RECTANGLE}"
"""Shown for an id beyond the vocabulary: random weights choose freely among all ids of the model."""


class ByteTokenizer:
    """Ids 0..255 are the UTF-8 bytes; 256, 257 and 258 pad, begin and end a sequence."""

    pad_token_id = 256
    bos_token_id = 257
    eos_token_id = 258
    all_special_ids = (pad_token_id, bos_token_id, eos_token_id)
    vocab_size = 259

    def encode(self, text: str) -> list[int]:
        """The ids of `text`, without begin or end marks. Lone surrogates, which UTF-8 has no bytes for, become `?`."""
        return list(text.encode("utf-8", errors="replace"))

    def decode(self, ids: Iterable[int]) -> str:
        """The text of `ids`.

        Special ids are left out, ids outside the vocabulary show as `PLACEHOLDER`, bytes that are not UTF-8 as
        U+FFFD. Control characters stay: clean the text before showing it in a terminal.
        """
        placeholder = PLACEHOLDER.encode()
        text = bytearray()
        for token in ids:
            if 0 <= token < 256:
                text.append(token)
            elif token not in self.all_special_ids:
                text += placeholder
        return text.decode("utf-8", errors="replace")


_FILE = "tokenizer.json"
_MAX_CONFIG_BYTES = 64 << 20
_MAX_BYTES = 256 << 20
_ANY = (
    _FILE, "tokenizer_config.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model", "tekken.json",
    "sentencepiece.bpe.model", "merges.txt",
)  # fmt: skip
_EXTRA = ("extra_special_tokens", "additional_special_tokens")


class Tokenizer(Protocol):
    """From text to token ids. `all_special_ids` are marks such as begin and end, which no plain text becomes."""

    @property
    def vocab_size(self) -> int:
        """How many ids it knows; a model's vocabulary may be larger."""
        ...

    @property
    def all_special_ids(self) -> tuple[int, ...]:
        """The ids of the special tokens, ascending."""
        ...

    def encode(self, text: str) -> list[int]:
        """The ids of `text`, with the special tokens that the model expects around it."""
        ...


class TextTokenizer(Tokenizer, Protocol):
    """A tokenizer that also finds the way back."""

    def decode(self, ids: Sequence[int]) -> str:
        """The text of `ids`, special tokens left out. Control characters stay: clean it before showing it."""
        ...


def load_tokenizer(source: ModelSource) -> TextTokenizer:
    """The tokenizer of a model that is here: bytes for a synthetic one, else that of its tokenizer.json.

    Raises ModelError where the model has no tokenizer.json or it cannot be read, EngineError where the `tokenizers`
    library is not installed.
    """
    if source.kind == "synthetic":
        return ByteTokenizer()
    return _FromFile(source.path, clean(source.id))


def tokenizer_called(name: str) -> TextTokenizer:
    """That of a folder with a tokenizer.json, or of a model by its id. Raises as `load_tokenizer` and `resolve` do."""
    folder = expand(name)
    if is_file(folder / _FILE):
        return _FromFile(folder, clean(name))
    return load_tokenizer(resolve(name))


def tokenizer_if_any(source: ModelSource) -> Tokenizer:
    """The same, but for a model without a tokenizer.json one that can do no more than name special ids.

    Random token ids need no other. Its `encode` raises the ModelError of `load_tokenizer`.
    """
    if source.kind == "synthetic" or is_file(source.path / _FILE):
        return load_tokenizer(source)
    return NoTokenizer(source)


def has_tokenizer(folder: Path) -> bool:
    """Whether there is any file of a tokenizer, of whatever library."""
    return any(is_file(folder / name) for name in _ANY) or any(folder.glob("*.tiktoken"))


class NoTokenizer:
    """Stands for the tokenizer that a model does not have: its special ids are those that its config names."""

    vocab_size = 0

    def __init__(self, source: ModelSource) -> None:
        self._source = source
        config = _table(source.path / "config.json") | _table(source.path / "generation_config.json")
        nested = config.get("text_config")
        named = [
            part.get(f"{name}_token_id")
            for part in (config, nested if isinstance(nested, dict) else {})
            for name in ("bos", "eos", "pad")
        ]
        ids = [one for value in named for one in (value if isinstance(value, list) else [value])]
        self.all_special_ids = tuple(sorted({one for one in ids if isinstance(one, int) and one >= 0}))

    def encode(self, text: str) -> list[int]:
        """Raises ModelError: there is nothing that makes ids of text."""
        raise ModelError(
            f"{clean(self._source.id)} has no tokenizer, and prompts of text need one",
            remedy='Use random token ids (workload.prompts = "random" with an input_len), or put its tokenizer '
            f"into the model's folder: {_FILE}.",
        )


class _FromFile:
    """The tokenizer that a tokenizer.json describes."""

    def __init__(self, folder: Path, shown: str) -> None:
        self._tokenizer = _read(folder / _FILE, shown)
        self.vocab_size: int = self._tokenizer.get_vocab_size(with_added_tokens=True)
        ids = (self._tokenizer.token_to_id(token) for token in _named_special(folder))
        named = {id_ for id_ in ids if id_ is not None}
        # Old checkpoints leave the names to a class of Transformers; then the file's own marks are what there is.
        marked = {id_ for id_, token in self._tokenizer.get_added_tokens_decoder().items() if token.special}
        self.all_special_ids: tuple[int, ...] = tuple(sorted(named or marked))

    def encode(self, text: str) -> list[int]:
        # Lone surrogates, which no UTF-8 holds, would raise.
        text = text.encode("utf-8", errors="replace").decode()
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=True).ids
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        text: str = self._tokenizer.decode(list(ids), skip_special_tokens=True)
        return text


def _read(path: Path, shown: str) -> "tokenizers.Tokenizer":
    try:
        import tokenizers
    except ImportError as error:
        raise EngineError(
            f"the tokenizer of {shown} needs the tokenizers library, which is not installed",
            remedy="pip install tokenizers",
        ) from error
    if not is_file(path):
        raise ModelError(
            f"{shown} has no {_FILE}",
            remedy="Transformers writes one: AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER).",
        )
    try:
        tokenizer = tokenizers.Tokenizer.from_buffer(regular_files.read(path, _MAX_BYTES))
    except Exception as error:
        raise ModelError(f"{_FILE} of {shown} cannot be read: {one_line(error, 300)}") from error
    # A file may ask for padding or cutting, which is for training: a prompt is what it is.
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def _named_special(folder: Path) -> Iterator[str]:
    """The special tokens that the tokenizer's config files name."""
    config = _table(folder / "tokenizer_config.json")
    if "added_tokens_decoder" not in config:  # the older way of writing them
        config |= _table(folder / "special_tokens_map.json")
    for key, value in config.items():
        if key.endswith("_token"):
            yield from _contents(value)
        elif key in _EXTRA:
            listed = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
            for token in listed:
                yield from _contents(token)


def _contents(token: object) -> Iterator[str]:
    content = token.get("content") if isinstance(token, Mapping) else token
    if isinstance(content, str):
        yield content


def _table(path: Path) -> dict[str, Any]:
    """The JSON object in a file; empty where there is none, since nothing but a name depends on it."""
    try:
        content = read_at_most(path, _MAX_CONFIG_BYTES)
        found = msgspec.json.decode(content or b"{}")
    except (OSError, msgspec.DecodeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
