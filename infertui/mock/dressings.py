"""The same truth in other clothes: legal or common ways to put an answer on the wire, and what is right to report.

Several can be worn at once. Where a dialect has no such thing (reasoning in a plain completion) it stays plain.
"""

from msgspec import Struct

from infertui.errors import ConfigError

PLAIN_TRUTH = "the same TTFT, ITL and number of tokens as of `plain`"


class Dressing(Struct, frozen=True):
    """What it does to a stream, and what a right client reports."""

    what: str
    right: str = PLAIN_TRUTH


DRESSINGS: dict[str, Dressing] = {
    "plain": Dressing("as the servers do it by themselves", "TTFT, ITL and tokens as the options say"),
    "ping-comments": Dressing("a comment `: ping` every 100 ms before the first token"),
    "ping-comments-1s": Dressing("a comment `:` and a blank line every 1 s before the first token, as llama-server"),
    "role-only-empty": Dressing("the first chunk, at a sixth of TTFT, has the role and an empty content"),
    "role-only-null": Dressing("the first chunk, at a sixth of TTFT, has the role and a content of null"),
    "crlf": Dressing("lines end in CR LF"),
    "cr": Dressing("lines end in CR alone"),
    "no-space": Dressing("`data:{...}`, no space after the colon"),
    "multi-line-data": Dressing("one event's JSON over three `data:` lines"),
    "two-tokens-a-chunk": Dressing(
        "two tokens in each chunk, every 2 ITL; the first chunk at TTFT",
        "the same TTFT and tokens; mean ITL that of `plain` where usage is counted in",
    ),
    "reasoning": Dressing(
        "the first half of the tokens in `delta.reasoning` (thinking, in other dialects), the rest is content",
        "the same TTFT; time to the first output token is TTFT + half of the tokens x ITL",
    ),
    "reasoning-content": Dressing(
        "as `reasoning`, in the older `delta.reasoning_content`",
        "the same TTFT; time to the first output token is TTFT + half of the tokens x ITL",
    ),
    "tool-calls-only": Dressing("no content: all tokens are a tool call's arguments"),
    "split-segments": Dressing("every event in two or three TCP segments, cut anywhere by the seed, the last in time"),
    "joined-events": Dressing(
        "two events a TCP segment, both at the later one's time",
        "every second gap 0, the others 2 ITL; the same tokens, TTFT one ITL later",
    ),
    "late-usage": Dressing("usage and the end come 300 ms after the last token", "E2E without these 300 ms"),
    "continuous-usage": Dressing("every chunk has usage, with the tokens so far"),
    "swallowed-tokens": Dressing(
        "every second token comes as a chunk without text, of which usage alone tells",
        "the same TTFT, ITL and tokens, where growth of usage is a token",
    ),
    "no-done": Dressing("no `[DONE]`"),
    "empty-choices": Dressing("a chunk with `choices: []` and no usage before the first token, at a sixth of TTFT"),
    "error-in-stream": Dressing("after three tokens an error in the dialect's form, status 200", "a failed request"),
    "no-finish": Dressing("the stream ends in order, without a reason why", "a failed request, or a doubtful one"),
    "cut-stream": Dressing("after half of the tokens the connection is closed", "a failed request"),
    "bom": Dressing("a byte order mark at the beginning"),
    "unknown-events": Dressing("events and fields that nobody knows, among the others"),
    "event-fields": Dressing("`id:` and `retry:` with every event, and `event: message` where there is none"),
    "gzip": Dressing("Content-Encoding: gzip, flushed with every event, if the request accepts it"),
    "late-headers": Dressing("status and headers come with the first token, not at once"),
    "content-length": Dressing("a Content-Length instead of chunks"),
    "connection-close": Dressing("neither chunks nor length: the end of the connection is the end of the body"),
    "chunked": Dressing("chunks also of an answer that does not stream"),
    "chunk-a-byte": Dressing("every byte is a chunk of its own"),
    "unicode": Dressing("tokens beyond ASCII: umlauts, CJK, emoji, raw and as \\u escapes with surrogates"),
}
_APART = (
    {"plain"},
    {"role-only-empty", "role-only-null"},
    {"crlf", "cr"},
    {"reasoning", "reasoning-content", "tool-calls-only"},
    {"ping-comments", "ping-comments-1s"},
    {"content-length", "connection-close", "chunked"},
    {"split-segments", "joined-events"},
    {"two-tokens-a-chunk", "swallowed-tokens"},
    {"error-in-stream", "cut-stream", "no-finish"},
    {"cr", "multi-line-data"},
)


def check_together(names: tuple[str, ...]) -> None:
    """Raises ConfigError where two dressings exclude each other."""
    worn = set(names)
    for group in _APART:
        clash = worn & group
        if len(clash) > 1 or ("plain" in clash and len(worn) > 1):
            raise ConfigError(
                "--dressing", f"{' and '.join(sorted(clash if len(clash) > 1 else worn))} exclude each other"
            )


class Wire:
    """Turns events into bytes in a given dressing. `first` bytes begin a stream."""

    def __init__(self, worn: frozenset[str], *, tight: bool) -> None:
        self.end = b"\r\n" if "crlf" in worn else b"\r" if "cr" in worn else b"\n"
        self._colon = b"data:" if tight or "no-space" in worn else b"data: "
        self._lines = "multi-line-data" in worn
        self._fields = "event-fields" in worn
        self._unknown = "unknown-events" in worn
        self.first = b"\xef\xbb\xbf" if "bom" in worn else b""
        self._plain = not (self._lines or self._fields or self._unknown) and self.end == b"\n"
        self._number = 0

    def event(self, data: bytes, name: bytes = b"") -> bytes:
        """One server-sent event."""
        if self._plain:
            if name:
                return b"event: %b\n%b%b\n\n" % (name, self._colon, data)
            return b"%b%b\n\n" % (self._colon, data)
        self._number += 1
        end = self.end
        lines = []
        if self._unknown and self._number % 2:
            lines = [b"event: x-mock", b'data: {"mock":"of no meaning"}', b"", b"x-field: 1", b"field-without-colon"]
        if self._fields:
            lines += [b"id: %d" % self._number, b"retry: 3000"]
        if name or self._fields:
            lines.append(b"event: %b" % (name or b"message"))
        lines += [self._colon + part for part in (_three(data) if self._lines else (data,))]
        return end.join(lines) + end + end

    def around(self, before: bytes, after: bytes) -> tuple[bytes, bytes]:
        """What stands around a text between `before` and `after` in an event; twice nothing if that varies."""
        return (self._colon + before, after + b"\n\n") if self._plain else (b"", b"")

    def comment(self, text: bytes) -> bytes:
        """A line that means nothing, and a blank one."""
        return b":%b%b%b" % (text, self.end, self.end)


def _three(data: bytes) -> tuple[bytes, ...]:
    """JSON in three lines, cut where white space is allowed: after commas outside of strings."""
    places, quoted, escaped = [], False, False
    for place, byte in enumerate(data):
        if escaped:
            escaped = False
        elif byte == 0x5C:
            escaped = True
        elif byte == 0x22:
            quoted = not quoted
        elif byte == 0x2C and not quoted:
            places.append(place + 1)
    if len(places) < 2:
        return (data,)
    one, two = places[len(places) // 3], places[-1]
    return (data[:one], data[one:two], data[two:]) if one < two else (data[:two], data[two:])
