"""Versions of TensorRT-LLM as far as an adapter has to tell them apart. Pure."""

import re

from msgspec import Struct

_VERSION = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?((?:rc|a|b|\.dev|\.post)\S*)?")

# The engine backend was removed on the main line in July 2026, after 1.3.0rc15 and before 1.4: in which candidate of
# 1.3 exactly, only the files say.
_LINES = ((1, 0), (1, 1), (1, 2))


class Version(Struct, frozen=True):
    """A version. `line` is `1.0`, `1.1` or `1.2`, `later` for what came after, `older` for what came before."""

    text: str
    major: int
    minor: int
    patch: int
    pre: str = ""

    @property
    def line(self) -> str:
        """The line that it belongs to."""
        if (self.major, self.minor) in _LINES:
            return f"{self.major}.{self.minor}"
        return "older" if (self.major, self.minor) < _LINES[0] else "later"

    @property
    def cuda_major(self) -> int:
        """The CUDA major version that its wheels are built for: 12 for 1.0, 13 since 1.1."""
        return 13 if (self.major, self.minor) >= (1, 1) else 12

    @property
    def note(self) -> str:
        """What a user of this version has to know; empty as a rule."""
        if (self.major, self.minor, self.patch) == (1, 2, 0):
            return "1.2.0 corrupts its KV cache, which 1.2.1 mends: tokens may be wrong"
        return ""


def parse(text: str) -> Version | None:
    """`1.2.1` or `1.4.0rc1`; None where it is no version."""
    match = _VERSION.match(text)
    if match is None:
        return None
    return Version(text, int(match[1]), int(match[2]), int(match[3] or 0), match[4] or "")
