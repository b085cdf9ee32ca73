"""Shares of the limits for lines of results.jsonl that were kept before there were any: what the table asks for."""

import hashlib
from functools import cache

import msgspec

from infertui.analysis.limits import limits_of
from infertui.paths import data
from infertui.results.index import Derivation
from infertui.results.upgrade import decode_result


def shares_of_line(line: bytes) -> tuple[float | None, float | None]:
    """MBU and MFU of a line, as every other view of the result has them; None where they do not follow from it.

    The line is decoded whole, which takes three times as long as its row. Anybody may have written it.
    """
    try:
        limits = limits_of(decode_result(line))
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None, None
    return (limits.mbu, limits.mfu) if limits else (None, None)


@cache
def derivation() -> Derivation:
    """How the table comes by them. Its version is that of data/hardware.toml, whose figures they are shares of."""
    table = (data() / "hardware.toml").read_bytes()
    return Derivation(hashlib.sha256(table).hexdigest()[:16], shares_of_line)
