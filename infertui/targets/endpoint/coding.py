"""Bodies that came packed: nobody asks for that, and some proxies do it all the same."""

import zlib
from collections.abc import Mapping, Sequence

from infertui.text import one_line

_AUTO = 47
_RAW = -15
_CODINGS = ("gzip", "x-gzip", "deflate")

Pieces = Sequence[tuple[int, bytes]]
"""When each came, and what."""


class CodingError(Exception):
    """A body that cannot be unpacked."""


def as_sent(pieces: Pieces, headers: Mapping[str, str], *, most_bytes: int) -> Pieces:
    """The body of an answer with such headers, names in lower case. Raises CodingError."""
    coding = headers.get("content-encoding", "").strip().lower()
    if coding in ("", "identity"):
        return pieces
    try:
        return unpacked(pieces, coding, most_bytes=most_bytes)
    except (zlib.error, ValueError) as error:
        raise CodingError(f"content-encoding {one_line(coding, 20)}: {error}") from None


def unpacked(pieces: Pieces, coding: str, *, most_bytes: int) -> Pieces:
    """Each piece as far as it can be told by then. Raises zlib.error, or ValueError for a coding nobody asked for."""
    if coding not in _CODINGS:
        raise ValueError("was not asked for")
    whole = b"".join(piece for _, piece in pieces[:4])
    plain = (
        coding == "deflate" and len(whole) > 1 and not ((whole[0] & 15) == 8 and int.from_bytes(whole[:2]) % 31 == 0)
    )
    unpacker = zlib.decompressobj(_RAW if plain else _AUTO)
    room = most_bytes
    found: list[tuple[int, bytes]] = []
    for stamp, piece in pieces:
        text = unpacker.decompress(piece, room)
        room -= len(text)
        if unpacker.unconsumed_tail or room <= 0:
            raise ValueError(f"more than {most_bytes >> 20} MiB")
        if text:
            found.append((stamp, text))
    return found
