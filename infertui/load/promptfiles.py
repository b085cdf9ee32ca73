"""What a file of prompts holds: lines of text, JSON (ShareGPT and messages too), JSON lines, or CSV by its heading."""

import csv
import io
import re
from collections.abc import Iterable
from typing import Any, NoReturn

import msgspec
from msgspec import Struct

from infertui.errors import ConfigError
from infertui.text import clean, one_line

_JSON_LINES, _JSON, _TABLES = (".jsonl", ".ndjson"), ".json", (".csv", ".tsv")
# `[INST] hello` and `{name}, hello` are text; a bracket or brace before what JSON has there is not.
_LIKE_JSON = re.compile(r"\s*(\[\s*[\[{\"\]]|\{\s*[\"}])")
_COLUMN = "prompt"
_HUMAN = ("human", "user")
_ALLOWED = 'objects with a "prompt" text, ShareGPT\'s "conversations" or "messages"; or plain strings'
_MAX_FIELD = 1 << 30


class PromptFile:
    """The decoded text of a file, called `name` in errors about the config's `key`.

    An entry of JSON is a text, or an object with a text called `prompt`, or with the turns of a conversation, of which
    the first human one is the prompt: ShareGPT's `conversations` (`from`, `value`) and `messages` (`role`, `content`).
    Conversations without a human turn have no prompt, and are left out. Every method raises ConfigError.
    """

    def __init__(self, key: str, text: str, name: str, suffix: str = "") -> None:
        self._key, self._name, self._suffix = key, name, suffix
        self._text = text.replace("\r\n", "\n").replace("\r", "\n")

    def prompts(self) -> tuple[str, ...]:
        """All prompts, in order."""
        if self._suffix in _JSON_LINES:
            return self._by_line()
        if "\0" in self._text:
            self._refuse("holds null bytes: it is binary, or UTF-16", "a text, JSON, JSONL or CSV file of prompts")
        if self._suffix == _JSON or _LIKE_JSON.match(self._text) or self._all_strings() or self._is_json():
            return self._json()
        if self._suffix in _TABLES or self._has_heading():
            return self._table()
        return self.lines()

    def lines(self) -> tuple[str, ...]:
        """One prompt a line, without the blanks around it."""
        return tuple(line.strip() for line in self._text.split("\n") if line.strip())

    def _json(self) -> tuple[str, ...]:
        """A list, an object, or one of them on each line."""
        whole = _decode(self._text)
        if isinstance(whole, _Wrong):
            first = next((line for line in self._text.split("\n") if line.strip()), "")
            if isinstance(_decode(first), _Wrong):
                self._refuse(f"is not JSON ({whole})", _ALLOWED)
            return self._by_line()
        if isinstance(whole, list):
            return self._entries((f"entry {number}", entry) for number, entry in enumerate(whole, start=1))
        return self._entries([("the object", whole)])

    def _by_line(self) -> tuple[str, ...]:
        def decoded() -> Iterable[tuple[str, Any]]:
            for number, line in enumerate(self._text.split("\n"), start=1):
                if line.strip():
                    entry = _decode(line)
                    if isinstance(entry, _Wrong):
                        self._refuse_at(f"line {number} is not JSON ({entry})")
                    yield f"line {number}", entry

        return self._entries(decoded())

    def _entries(self, entries: Iterable[tuple[str, Any]]) -> tuple[str, ...]:
        prompts = []
        for where, entry in entries:
            turns = _turns(entry)
            prompt = _prompt(entry) if turns is None else _first_human(turns)
            if prompt:
                prompts.append(prompt)
            elif turns is None:
                self._refuse_at(f"{where} has no prompt", _ALLOWED)
        return tuple(prompts)

    def _is_json(self) -> bool:
        return self._text.lstrip()[:1] in ("[", "{") and not isinstance(_decode(self._text), _Wrong)

    def _all_strings(self) -> bool:
        """Whether every line is a text of JSON: quoted speech ends its lines otherwise, somewhere."""
        lines = self.lines()
        return bool(lines) and all(
            line.startswith('"') and line.endswith('"') and isinstance(_decode(line), str) for line in lines
        )

    def _has_heading(self) -> bool:
        """Whether the first line names columns, a column of prompts among them."""
        names = _names(self._text, _delimiter(self._text))
        return _COLUMN in names and all(re.fullmatch(r"[a-z_][\w .-]{0,40}", name) for name in names)

    def _table(self) -> tuple[str, ...]:
        delimiter = "\t" if self._suffix == ".tsv" else _delimiter(self._text)
        names = _names(self._text, delimiter)
        if _COLUMN not in names:
            shown = ", ".join(one_line(name, 40) for name in names[:8])
            self._refuse(f"has no column named {_COLUMN}: its first line is {shown}", "CSV with a column named prompt")
        at = names.index(_COLUMN)
        prompts = []
        before = csv.field_size_limit(_MAX_FIELD)
        rows = csv.reader(io.StringIO(self._text, newline=""), delimiter=delimiter, strict=True)
        try:
            for row in rows:
                if not row or not any(value.strip() for value in row):
                    continue
                if len(row) != len(names):
                    self._refuse_at(f"line {rows.line_num} has {len(row)} columns, and the heading {len(names)}")
                prompts.append(row[at].strip())
                if not prompts[-1]:
                    self._refuse_at(f"line {rows.line_num} has no prompt")
        except csv.Error as error:
            self._refuse_at(f"line {rows.line_num + 1} is not CSV ({clean(str(error))})")
        finally:
            csv.field_size_limit(before)
        return tuple(prompts[1:])

    def _refuse(self, what: str, allowed: str) -> NoReturn:
        raise ConfigError(self._key, f"{self._name} {what}", allowed=allowed)

    def _refuse_at(self, what: str, allowed: str = "") -> NoReturn:
        """`what` begins with the place."""
        raise ConfigError(self._key, f"{self._name}, {what}", allowed=allowed)


class _Object(Struct):
    """What is looked at of an entry; the rest is passed over."""

    prompt: Any = None
    conversations: Any = None
    messages: Any = None


class _Wrong(str):
    """Why a text is no JSON."""


_Entry = _Object | str | int | float | bool | list[Any] | None
_decoder = msgspec.json.Decoder(list[_Entry] | _Object | str | int | float | bool | None)


def _decode(text: str) -> Any:
    """The value of a JSON text. msgspec refuses halves of surrogate pairs, which no tokenizer and no file can take."""
    try:
        return _decoder.decode(text)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        return _Wrong(one_line(error))


def _prompt(entry: object) -> str:
    prompt = entry.prompt if isinstance(entry, _Object) else entry
    return prompt if isinstance(prompt, str) else ""


def _turns(entry: object) -> list[Any] | None:
    """The turns of a conversation; None where an entry is none."""
    if not isinstance(entry, _Object) or entry.prompt is not None:
        return None
    return next((turns for turns in (entry.conversations, entry.messages) if isinstance(turns, list)), None)


def _first_human(turns: list[Any]) -> str:
    for turn in turns:
        if isinstance(turn, dict) and turn.get("from", turn.get("role")) in _HUMAN:
            text = turn.get("value", turn.get("content"))
            if isinstance(text, list):  # of parts, as chat messages have them
                parts = [part.get("text") for part in text if isinstance(part, dict)]
                text = "".join(part for part in parts if isinstance(part, str))
            if isinstance(text, str) and text:
                return text
    return ""


def _delimiter(text: str) -> str:
    first = text[:4096].lstrip("\n").split("\n", 1)[0]
    return max(",;\t", key=first.count)


def _names(text: str, delimiter: str) -> list[str]:
    """The names in a heading, in lower case."""
    first = text[: 1 << 16].lstrip("\n").split("\n", 1)[0]
    try:
        return [name.strip().lower() for name in next(csv.reader([first], delimiter=delimiter), [])]
    except csv.Error:
        return []
