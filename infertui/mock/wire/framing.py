"""How the bytes of a body are framed in HTTP/1.1: in chunks, by their length, or by the end of the connection."""

import zlib
from collections.abc import Iterator

from msgspec import Struct

from infertui.mock.script import Step


class Framing(Struct):
    """`way`: chunked, length or close. `head`: what comes before the body's first byte, where it was not sent yet.

    `bad`: which chunk has a length that is no number, counted from 1; 0: none. With `way` length
    the head gets its Content-Length when all of the body is known. `unfinished`: the end of the body is left out.
    """

    way: str = "chunked"
    head: bytes = b""
    gzip: bool = False
    byte_by_byte: bool = False
    bad: int = 0
    unfinished: bool = False


def framed(steps: Iterator[Step], framing: Framing) -> Iterator[Step]:
    """The same steps, framed."""
    if framing.gzip:
        steps = _packed(steps)
    if framing.way == "length":
        return _by_length(steps, framing)
    return _chunked(steps, framing) if framing.way == "chunked" else _bare(steps, framing)


def _bare(steps: Iterator[Step], framing: Framing) -> Iterator[Step]:
    head = framing.head
    for at_ns, data, tokens in steps:
        yield at_ns, head + data if data else data, tokens
        if data:
            head = b""


def _by_length(steps: Iterator[Step], framing: Framing) -> Iterator[Step]:
    known = list(steps)
    length = sum(len(data) for _, data, _ in known)
    length = 2 * length + 1 if framing.unfinished else length
    head = framing.head.replace(b"\r\n\r\n", b"\r\ncontent-length: %d\r\n\r\n" % length)
    return _bare(iter(known), Framing(way="close", head=head))


def _chunked(steps: Iterator[Step], framing: Framing) -> Iterator[Step]:
    """One step is held back, so that the last chunk goes out with the last data."""
    head, number = framing.head, 0
    held: Step | None = None
    for at_ns, data, tokens in steps:
        if held is not None:
            yield held
        if not data:
            held = at_ns, b"", tokens
            continue
        number += 1
        if number == framing.bad:
            chunk = b"zz\r\n%b\r\n" % data
        elif framing.byte_by_byte:
            chunk = b"".join([b"1\r\n%c\r\n" % byte for byte in data])
        else:
            chunk = b"%x\r\n%b\r\n" % (len(data), data)
        held = at_ns, head + chunk, tokens
        head = b""
    if held is None:
        return
    at_ns, data, tokens = held
    yield at_ns, data if framing.unfinished else head + data + b"0\r\n\r\n", tokens


def _packed(steps: Iterator[Step]) -> Iterator[Step]:
    pack = zlib.compressobj(6, zlib.DEFLATED, 31)
    last_ns = 0
    for at_ns, data, tokens in steps:
        last_ns = at_ns
        yield at_ns, pack.compress(data) + pack.flush(zlib.Z_SYNC_FLUSH) if data else b"", tokens
    yield last_ns, pack.flush(), 0
