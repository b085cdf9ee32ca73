"""Bodies cut anywhere give the events that the standard says, each stamped when its data was there."""

import itertools
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infertui.targets.endpoint.sse import EventTooLongError, events, json_lines

PARTS = st.sampled_from(
    [
        "data: {}\n\n", 'data: {"a": 1}\n\n', "data:{}\n\n", "data:  two spaces\n", "data\n", "data:\n", "data: \n",
        ":\n", ": ping\n\n", "\n", "\r", "\r\n", "event: ping\n", "event:error\r\n", "event\n", "id: 3\n",
        "retry: 10\r\n", "x: y\n", "data: ü€😀\r\n\r\n", "data: a\rdata: b\n", "\N{ZERO WIDTH NO-BREAK SPACE}",
        "datax: 1\n", " data: 1\n", "error: {}\n", "data: [DONE]\n\n", "data: a:b: c\n\n", "\0", "no colon\n\n",
        "data: \u2028 x\u0085y\x0b\x0c\n\n",
    ]
)  # fmt: skip
BODIES = st.lists(PARTS, max_size=12).map(lambda parts: "".join(parts).encode())


def by_the_standard(body: bytes, *, whole: bool) -> list[tuple[int, str, str]]:
    """The algorithm of the standard in its own order, over the whole body; with the two exceptions of ours.

    In the place of the stamp is the offset of the last byte of the last data.
    """
    if whole:
        body += b"\n\n"
    found = []
    buffer, kind, last = b"", b"", 0
    # What follows the last end of a line is an incomplete line.
    for match in re.finditer(rb"([^\r\n]*)(?:\r\n|\r|\n)", body):
        line = match[1]
        if match.start() == 0:
            line = line.removeprefix("\ufeff".encode())
        if line == b"":
            if buffer != b"":
                found.append((last, kind.decode(), buffer[:-1].decode("utf-8", "replace")))
            buffer, kind = b"", b""
            continue
        field, value = line.split(b":", 1) if b":" in line else (line, b"")
        value = value[1:] if value[:1] == b" " else value
        if field == b"event":
            kind = value
        elif field in (b"data", b"error"):
            buffer += value + b"\n"
            last = match.end(1) - 1
            kind = b"error" if field == b"error" else kind
    return found


def cut(body: bytes, places: list[int]) -> list[tuple[int, bytes]]:
    """Stamped with the offset of the last byte of the piece: what is in it has a smaller one, or the same."""
    bounds = [0, *sorted(place for place in places if place <= len(body)), len(body)]
    return [(end - 1, body[start:end]) for start, end in itertools.pairwise(bounds)]


def read(pieces: list[tuple[int, bytes]], *, whole: bool = True) -> list[tuple[int, str, str]]:
    return [(stamp, name, data.decode("utf-8", "replace")) for stamp, name, data in events(pieces, whole=whole)]


def wanted(body: bytes, pieces: list[tuple[int, bytes]], *, whole: bool = True) -> list[tuple[int, str, str]]:
    ends = [end for end, piece in pieces if piece]
    return [
        (next(end for end in ends if end >= offset), name, data)
        for offset, name, data in by_the_standard(body, whole=whole)
    ]


@given(BODIES, st.lists(st.integers(0, 120), max_size=10), st.booleans())
def test_however_a_body_is_cut_its_events_are_those_of_the_standard(
    body: bytes, places: list[int], whole: bool
) -> None:
    """And each arrived with the piece that holds the last byte of its data."""
    pieces = cut(body, places)
    assert read(pieces, whole=whole) == wanted(body, pieces, whole=whole)


@given(BODIES)
def test_a_byte_at_a_time(body: bytes) -> None:
    pieces = [(number, bytes([byte])) for number, byte in enumerate(body)]
    assert read(pieces) == by_the_standard(body, whole=True)


@pytest.mark.parametrize(
    "body",
    [
        b'data: {"t": "a"}\n\ndata: {"t": "bc"}\n\ndata: [DONE]\n\n',
        b": ping\n\n\xef\xbb\xbfdata: x\r\n\r\nevent: e\rdata: y\r\rdata:z\n\n",
        b"\xef\xbb\xbfdata: 1\n\ndata: 2\n\n",
        b"\xef\xbb\xbf\n\ndata: 2\r\n\r\n",
    ],
)
def test_every_cut_in_two_and_three(body: bytes) -> None:
    for first in range(len(body) + 1):
        for second in range(first, len(body) + 1):
            pieces = cut(body, [first, second])
            assert read(pieces) == wanted(body, pieces)


def test_a_blank_line_that_comes_late_delays_nothing() -> None:
    pieces = [
        (10, b"data: a"),
        (20, b"\n"),
        (30, b"\n"),
        (40, b"data: b\r"),
        (50, b"\n\r\n"),
        (60, b"dat"),
        (70, b"a: c\n\n"),
    ]
    assert [(stamp, data) for stamp, _, data in events(pieces)] == [(10, b"a"), (40, b"b"), (70, b"c")]


def test_what_a_broken_body_left_unended_is_no_event() -> None:
    pieces = [(1, b"data: a\n\ndata: b\n")]
    assert read(pieces, whole=False) == [(1, "", "a")]
    assert read(pieces) == [(1, "", "a"), (1, "", "b")]
    assert read([(1, b'data: {"x": ')], whole=False) == []


@pytest.mark.parametrize(
    "body", [b"", b"\n", b"\r\n\r\n", b": only\n\n: comments\n\n", b"event: lonely\n\n", b"\xef\xbb\xbf"]
)
def test_bodies_without_an_event(body: bytes) -> None:
    assert read([(0, body)]) == []
    assert read([]) == []


@pytest.mark.parametrize(
    "long",
    [
        b"data: " + b"x" * 100 + b"\n\n",
        b"data: " + b"x" * 100,
        b": " + b"x" * 100,
        b"data: " + b"x" * 30 + b"\n" + b"data: " + b"x" * 30 + b"\n\n",
    ],
)
@pytest.mark.parametrize("step", [1, 7, 1000])
def test_what_is_too_long_is_refused_and_what_was_before_is_told(long: bytes, step: int) -> None:
    body = b"data: 1\n\n" + long
    pieces = [(number, body[start : start + step]) for number, start in enumerate(range(0, len(body), step))]
    told = events(pieces, largest=50)
    assert next(told)[2] == b"1"
    with pytest.raises(EventTooLongError):
        next(told)


def test_the_length_of_all_events_together_is_not_bounded() -> None:
    assert len(list(events([(0, b"data: 123456789\n\n" * 100)], largest=20))) == 100


@given(
    st.lists(st.dictionaries(st.text(max_size=3), st.text(max_size=9), max_size=2), max_size=5),
    st.sampled_from(["\n", "\r\n", "\n\n"]),
    st.booleans(),
    st.lists(st.integers(0, 200), max_size=8),
)
def test_lines_of_json_however_they_are_cut(
    values: list[dict[str, str]], end: str, ended: bool, places: list[int]
) -> None:
    body = end.join(json.dumps(value, ensure_ascii=False) for value in values).encode() + (
        end.encode() if ended else b""
    )
    assert [json.loads(line) for _, line in json_lines(cut(body, places))] == values


def test_a_line_of_json_arrived_with_its_last_byte() -> None:
    pieces = [(10, b'{"a"'), (20, b": 1}"), (30, b"\n{}"), (40, b""), (50, b"\n \n{")]
    assert list(json_lines(pieces, whole=False)) == [(20, b'{"a": 1}'), (30, b"{}")]
    with pytest.raises(EventTooLongError):
        list(json_lines(pieces, largest=5))
