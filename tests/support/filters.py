"""Filters of the results table as they are documented, and what is on the line while they are typed."""

from collections.abc import Iterable

from infertui.metrics.registry import names

KEYS = tuple(dict.fromkeys(names().values()))
KEY_NAMES = tuple(names())
OPERATORS = (":", "=", ">", ">=", "<", "<=")
VALUES = ("50", "5%", "-1.5e3", "50ms", "20GiB", "x y", '"two words"', "yes", "2026-11-01T08:30:00+00:00", "power-cap")
DOCUMENTED = (
    "llama batch_size>=4",
    "engine:trans  engine=simulator",
    "ttft<50ms  vram>20GiB  drift<5%  started>=2026-11-01",
    "state:failed  valid:no  flag:power-cap",
    '!synthetic  !state:failed  "two words"  model:"a b"',
    "ttft<50ms valid:yes",
    "llama  batch_size>=4  ttft<50ms  flag:power-cap  !state:failed",
    "synthetic:gpt2-124m",
)
"""Of the module's description, the README and the line in which they are typed."""


def prefixes(filters: Iterable[str]) -> list[str]:
    """All that stands on the line while each of them is typed, each once."""
    return list(dict.fromkeys(text[:end] for text in filters for end in range(len(text) + 1)))


def written() -> list[str]:
    """Every column by each of its names, with every operator, and with a value that it may have or not."""
    return [f"{name}{operator}" for name in KEY_NAMES for operator in OPERATORS] + [
        f"!{name}{operator}{value}" for name in KEYS for operator in OPERATORS for value in VALUES
    ]
