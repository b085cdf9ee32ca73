"""Answers of servers as they come over a wire, written by hand: events with times, and what they were read as."""

import itertools
import json
from collections.abc import Iterable, Sequence

from infertui.targets.endpoint.dialect import ReceivedAnswer

MS = 1_000_000


def data(value: object, *, event: str = "", space: str = " ", end: str = "\n") -> bytes:
    """One server-sent event; what is no text is written as JSON."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    head = f"event:{space}{event}{end}" if event else ""
    return f"{head}data:{space}{text}{end}{end}".encode()


def came(
    *pieces: tuple[float, bytes],
    end_ms: float | None = None,
    status: int = 200,
    headers: dict[str, str] | None = None,
    whole: bool = True,
) -> ReceivedAnswer:
    """A response of pieces that came at these milliseconds."""
    stamped = [(round(ms * MS), piece) for ms, piece in pieces]
    end = stamped[-1][0] if stamped and end_ms is None else round((end_ms or 0) * MS)
    return ReceivedAnswer(status=status, headers=headers or {}, pieces=stamped, end_ns=end, whole=whole)


def at_once(value: object, status: int = 200, ms: float = 100) -> ReceivedAnswer:
    """A response that came in one piece."""
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return came((ms, body), status=status)


def in_ms(stamps: Iterable[int]) -> list[float]:
    """Stamps of an answer in milliseconds."""
    return [stamp / MS for stamp in stamps]


def recut(received: ReceivedAnswer, places: Sequence[int]) -> ReceivedAnswer:
    """The same bytes in other pieces, all stamped with their number."""
    body = b"".join(piece for _, piece in received.pieces)
    bounds = [0, *sorted(place % (len(body) + 1) for place in places), len(body)]
    pieces = [(number, body[start:end]) for number, (start, end) in enumerate(itertools.pairwise(bounds))]
    return ReceivedAnswer(
        status=received.status, headers=received.headers, pieces=pieces, end_ns=len(pieces), whole=received.whole
    )
