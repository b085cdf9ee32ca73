"""The tokens that a mock says, as pieces of JSON strings: a fixed row, so that every text is known beforehand."""

import json

WORDS = tuple(
    f" {word}".encode()
    for word in [
        "this",
        "text",
        "is",
        "of",
        "a",
        "mock",
        "server",
        "it",
        "means",
        "nothing",
        "but",
        "its",
        "times",
        "are",
        "known",
        "to",
        "a",
        "client",
        "who",
        "listens",
    ]
)
UNICODE_WORDS = (
    " Größe".encode(), b" \\u00fcber", "世界".encode(), b"\\u4e16\\u754c", "🚀".encode(), b"\\ud83d\\ude80",
    b' \\"quoted\\"', b"\\n\\t\\\\", "e\u0301".encode(), b" a\\/b", " \u2028".encode(), b" data: {}",
)  # fmt: skip
TOOL_FIRST, TOOL_LAST = rb"{\"text\":\"", rb"\"}"


def joined(words: tuple[bytes, ...], first: int, count: int) -> bytes:
    """`count` tokens from the `first`-th on, as one piece of a JSON string."""
    if count == 1:
        return words[first % len(words)]
    return b"".join(words[(first + place) % len(words)] for place in range(count))


def text_of(count: int, *, unicode: bool = False) -> str:
    """What the first `count` tokens say."""
    told: str = json.loads(b'"%b"' % joined(UNICODE_WORDS if unicode else WORDS, 0, count)) if count else ""
    return told
