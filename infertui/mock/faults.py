"""What can go wrong with a request on purpose, and with which."""

from random import Random

FAULTS: dict[str, str] = {
    "rate-limited": "429 with Retry-After: 1, in the dialect's error form",
    "server-error": "500, in the dialect's error form",
    "overloaded": "503, a page of HTML as proxies send it",
    "stall": "half of the tokens, then nothing while the connection stays open",
    "silent": "the request is read and nothing is ever answered",
    "reset": "half of the tokens, then the connection is reset (RST)",
    "cut": "half of the tokens, then the connection is closed (FIN) without a last chunk",
    "malformed": "one event in the middle holds half a JSON document",
    "bad-chunk": "one chunk in the middle has a length that is no number",
    "drip": "the first 200 bytes of the body come one by one, 0.1 ms apart",
    "huge-line": "one event in the middle is a line of 8 MiB",
    "refuse": "the connection is reset as soon as the request has begun",
    "close-keep-alive": "answered in order, then the connection is closed without a word of it in the headers",
    "hundred": "100 Continue and 103 Early Hints come before the answer",
}
HUGE_LINE_BYTES = 8 * 1024 * 1024
DRIP_BYTES, DRIP_NS = 200, 100_000


class FaultPlan:
    """Decides which request has which fault: every n-th, or at a rate with a seed; several faults take turns."""

    def __init__(self, faults: tuple[str, ...], *, rate: float, every: int, seed: int) -> None:
        self._faults, self._rate, self._every = faults, rate, every
        self._random = Random(seed)  # noqa: S311
        self._requests = self._given = 0

    def next(self) -> str:
        """The fault of the next request, empty for none."""
        if not self._faults:
            return ""
        self._requests += 1
        if self._requests % self._every if self._every else self._random.random() >= self._rate:
            return ""
        self._given += 1
        return self._faults[(self._given - 1) % len(self._faults)]
