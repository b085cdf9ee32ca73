"""A trace: when requests came, how long they were, and what they had in common, to be sent again as they came.

JSON lines, or CSV with a heading: whatever `log_entry` knows by name, with a time stamp, and a prompt or its length.
Mooncake's (`timestamp` in ms, `input_length`, `output_length`, `hash_ids` of blocks of 512 tokens) are the form of
several programs; Azure's LLM traces have TIMESTAMP, ContextTokens and GeneratedTokens, BurstGPT's seconds. Strict where
logs are not: a line that cannot be read would leave a hole in the load.
"""

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NoReturn

from msgspec import Struct

from infertui import regular_files
from infertui.config.endpoint import YEAR_S
from infertui.errors import ConfigError
from infertui.load.log_entry import MOST_TOKENS, LogEntry, entry_of
from infertui.text import clean, one_line

BLOCK_TOKENS = 512
"""Of Mooncake's `hash_ids`."""
MOST_REQUESTS = 1_000_000
_LONGEST_LINE = 16 << 20
_MOST_BLOCKS = 1 << 16
_MOST_COLUMNS = 1000
_KEY = "load.trace"
_ALLOWED = (
    "JSON lines with a timestamp and input_length or a prompt (Mooncake's in ms), or CSV with TIMESTAMP, ContextTokens "
    "and GeneratedTokens"
)
_MOONCAKE = frozenset({"timestamp", "input_length", "output_length", "hash_ids"})
_LATEST_MS = 300_000_000
"""Of a clock that began with the trace; larger numbers may be dates."""
_MILLISECONDS = ("timestamp_ms", "time_ms", "arrival_ms", "arrival_time_ms")


class TracedRequest(Struct, frozen=True):
    """One request: `at` in seconds after the first of its trace; lengths in tokens, None where they are not told.

    `blocks` names the blocks of its prompt: those of one name hold the same tokens in all requests.
    """

    at: float
    prompt: str | None
    prompt_tokens: int | None
    output_tokens: int | None
    blocks: tuple[int, ...] = ()


def read_trace(path: str) -> tuple[TracedRequest, ...]:
    """The requests of a file in the order of their times; `~` is home. Lengths of 0 are taken for 1.

    Raises ConfigError, with the line, for what is no trace.
    """
    name = clean(path)
    try:
        with regular_files.opened(Path(path).expanduser()) as file:
            found = list(_TraceFile(name, regular_files.lines(file, _LONGEST_LINE)).requests())
    except regular_files.NotRegularError as error:
        raise ConfigError(_KEY, f"{name} is {error.kind}", allowed=_ALLOWED) from error
    except (OSError, RuntimeError) as error:
        why = getattr(error, "strerror", None) or "that home is not known"
        raise ConfigError(_KEY, f"cannot read {name}: {why}", allowed="a readable file") from error
    if not found:
        raise ConfigError(_KEY, f"{name} holds no request", allowed=_ALLOWED)
    first = min(request.at for request in found)
    last = max(found, key=lambda request: request.at)
    if last.at - first > YEAR_S:
        raise ConfigError(_KEY, f"{name} lasts {last.at - first:,.0f} s", allowed=f"at most {YEAR_S:,}: a year")
    found.sort(key=lambda request: request.at)
    return tuple(
        TracedRequest(one.at - first, one.prompt, one.prompt_tokens, one.output_tokens, one.blocks) for one in found
    )


class _TraceFile:
    """Lines of a file, as requests whose times are those of the file."""

    def __init__(self, name: str, lines: Iterator[bytes | None]) -> None:
        self._name, self._lines = name, lines
        self._line = 0

    def requests(self) -> Iterator[TracedRequest]:
        for count, value in enumerate(self._values()):
            if count == MOST_REQUESTS:
                self._refuse("there are more requests than that", f"at most {MOST_REQUESTS:,}")
            yield self._request(value)

    def _values(self) -> Iterator[Mapping[str, object]]:
        texts = self._texts()
        first = next(texts, "")
        if first.startswith("{"):
            yield self._decoded(first)
            for text in texts:
                yield self._decoded(text)
        elif first:
            yield from self._rows(first, texts)

    def _texts(self) -> Iterator[str]:
        """The lines that are not empty."""
        for raw in self._lines:
            self._line += 1
            if raw is None:
                self._refuse(f"is longer than {regular_files.whole(_LONGEST_LINE)}", _ALLOWED)
            try:
                text = raw.decode("utf-8-sig" if self._line == 1 else "utf-8").strip()
            except UnicodeDecodeError:
                self._refuse("is no UTF-8 text", _ALLOWED)
            if text:
                yield text

    def _decoded(self, text: str) -> Mapping[str, object]:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            self._refuse(f"is no JSON ({one_line(error, 80)})", _ALLOWED)
        if not isinstance(value, dict):
            self._refuse("is no JSON object", _ALLOWED)
        return value

    def _rows(self, heading: str, texts: Iterator[str]) -> Iterator[Mapping[str, object]]:
        delimiter = max(",;\t", key=heading.count)
        names = self._row(heading, delimiter)
        probe = entry_of(dict.fromkeys(names, "1"))
        if len(names) > _MOST_COLUMNS or probe.at is None or (probe.prompt_tokens is None and probe.prompt is None):
            self._refuse(f"is neither a JSON object nor a heading of a trace: {one_line(heading, 60)!r}", _ALLOWED)
        for text in texts:
            row = self._row(text, delimiter)
            if len(row) != len(names):
                self._refuse(f"has {len(row)} columns, and the heading {len(names)}", _ALLOWED)
            yield dict(zip(names, row, strict=True))

    def _row(self, text: str, delimiter: str) -> list[str]:
        try:
            return next(csv.reader([text], delimiter=delimiter, strict=True), [])
        except csv.Error as error:
            self._refuse(f"is no CSV ({one_line(error, 80)})", _ALLOWED)

    def _request(self, value: Mapping[str, object]) -> TracedRequest:
        return self._of_mooncake(value) or self._of_any(value)

    def _of_mooncake(self, value: Mapping[str, object]) -> TracedRequest | None:
        """Quickly what `_of_any` says of the usual form; None for others."""
        if not value.keys() <= _MOONCAKE:
            return None
        at, size, out = value.get("timestamp"), value.get("input_length"), value.get("output_length")
        if type(at) is not int or type(size) is not int or type(out) is not int:
            return None
        if not (0 <= at < _LATEST_MS and 0 <= size <= MOST_TOKENS and 0 <= out <= MOST_TOKENS):
            return None
        return TracedRequest(at / 1000, None, max(1, size), max(1, out), self._blocks(value.get("hash_ids")))

    def _of_any(self, value: Mapping[str, object]) -> TracedRequest:
        entry = entry_of(value)
        at = self._time(value, entry)
        if entry.prompt is None and entry.prompt_tokens is None:
            self._refuse("tells neither a prompt nor how many tokens it has", _ALLOWED)
        if entry.prompt is not None and not _is_text(entry.prompt):
            self._refuse("has a prompt with half of a surrogate pair, which no server can be sent", "whole characters")
        return TracedRequest(
            at,
            entry.prompt,
            None if entry.prompt_tokens is None else max(1, entry.prompt_tokens),
            None if entry.output_tokens is None else max(1, entry.output_tokens),
            () if entry.prompt is not None else self._blocks(value.get("hash_ids")),
        )

    def _time(self, value: Mapping[str, object], entry: LogEntry) -> float:
        for name in _MILLISECONDS:
            if name in value:
                inner = entry_of({"at": value[name]})
                if inner.at is not None:
                    return inner.at / 1000 if inner.at == value[name] else inner.at
        if entry.at is None:
            self._refuse("has no time stamp", "a number of seconds (of Mooncake's form: ms) not below 0, or a date")
        # Mooncake's and its like count ms from 0: those of a clock are told by their size, in `log_entry`.
        if "input_length" in value and entry.at == value.get("timestamp"):
            return entry.at / 1000
        return entry.at

    def _blocks(self, value: object) -> tuple[int, ...]:
        if value is None:
            return ()
        whole = isinstance(value, list) and all(type(one) is int and abs(one) < 1 << 64 for one in value)
        if not whole or len(value) > _MOST_BLOCKS:  # type: ignore[arg-type]
            self._refuse("has hash_ids of another form", f"a list of at most {_MOST_BLOCKS:,} whole numbers")
        return tuple(value)  # type: ignore[arg-type]

    def _refuse(self, what: str, allowed: str) -> NoReturn:
        raise ConfigError(_KEY, f"line {self._line} of {self._name} {what}", allowed=allowed)


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
