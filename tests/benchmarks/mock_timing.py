"""How well `infertui mock-server` keeps its times: 1 to 1,024 streams, against a client of a few lines on uvloop.

For each number of streams, for some seconds of closed loop after one round that does not count:

- the server's own word: how late its writes were against their deadlines, its CPU;
- the client's: TTFT and E2E against the truth, stamped before the request is written and when bytes arrive.

    python tests/benchmarks/mock_timing.py [STREAMS ...] [OPTIONS of the mock]

The client shares the machine with the server: with few cores its own delays are in its figures.
"""

import asyncio
import os
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import uvloop

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.mock_process import MockProcess, mock_process

TTFT_MS, ITL_MS, TOKENS = 50.0, 10.0, 64
SECONDS = 5.0


class Stream(asyncio.Protocol):
    """One request after the other on one connection."""

    def __init__(
        self, request: bytes, until: float, found: list[tuple[float, float, float]], over: asyncio.Event
    ) -> None:
        self.request, self.until, self.found, self.over = request, until, found, over
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self.ask()

    def ask(self) -> None:
        self.first = 0.0
        self.began = time.monotonic()
        assert self.transport is not None
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        if not self.first and b'"text"' in data:
            self.first = time.monotonic()
        if data.endswith(b"0\r\n\r\n"):
            now = time.monotonic()
            self.found.append((self.began, self.first, now))
            if now < self.until:
                self.ask()
            else:
                self.over.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.over.set()


async def load(mock: MockProcess, streams: int) -> tuple[list[tuple[float, float, float]], float]:
    """Stamps of begin, first token and end of each request, and the client's CPU seconds."""
    body = b'{"model":"mock","prompt":"x","max_tokens":%d,"stream":true}' % TOKENS
    request = b"POST /v1/completions HTTP/1.1\r\nHost: m\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    place = urlsplit(mock.url)
    loop = asyncio.get_running_loop()
    cpu = time.process_time()
    until = time.monotonic() + SECONDS
    found: list[tuple[float, float, float]] = []
    ends = []
    round_s = (TTFT_MS + ITL_MS * (TOKENS - 1)) / 1000
    for number in range(streams):  # spread over one round: a wave would measure its own queue
        over = asyncio.Event()
        ends.append(over)
        stream = Stream(request, until, found, over)
        await loop.create_connection(lambda stream=stream: stream, place.hostname or "", place.port or 0)  # type: ignore[misc]
        await asyncio.sleep(max(until - SECONDS + round_s * (number + 1) / streams - time.monotonic(), 0))
    for over in ends:
        await over.wait()
    return found, time.process_time() - cpu


def server_cpu(pid: int) -> float:
    """CPU seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def share(values: list[float], part: float) -> float:
    return sorted(values)[min(int(len(values) * part), len(values) - 1)]


def main() -> None:
    print("streams  server lateness us         client error us, TTFT       E2E/token   rps of    cores")
    print("         mean    p50    p99     max mean     p50     p99        ns error    ideal     server client")
    numbers = [int(word) for word in sys.argv[1:] if word.isdecimal()] or [1, 64, 256, 1024]
    more = [word for word in sys.argv[1:] if not word.isdecimal()]
    for streams in numbers:
        with mock_process("--ttft", f"{TTFT_MS}ms", "--itl", f"{ITL_MS}ms", *more) as mock:
            began, cpu = time.monotonic(), server_cpu(mock.pid)
            found, client = uvloop.run(load(mock, streams))
            wall, cpu = time.monotonic() - began, server_cpu(mock.pid) - cpu
            told = mock.stats()["lateness"]
        round_s = (TTFT_MS + ITL_MS * (TOKENS - 1)) / 1000
        counted = [one for one in found if one[0] > min(begin for begin, _, _ in found) + round_s] or found
        errors = [(first - begin) * 1e6 - TTFT_MS * 1e3 for begin, first, _ in counted]
        per_token = [((end - first) - ITL_MS * (TOKENS - 1) / 1e3) / (TOKENS - 1) * 1e9 for _, first, end in counted]
        ideal = streams / round_s
        opened, closed = min(begin for begin, _, _ in found) + round_s, max(begin for begin, _, _ in found)
        rate = sum(opened < end <= closed for _, _, end in found) / (closed - opened)
        print(
            f"{streams:>7}  {told['mean_us']:>6.0f} {told['p50_us']:>6.0f} {told['p99_us']:>6.0f} "
            f"{told['max_us']:>7.0f} "
            f"{sum(errors) / len(errors):>6.0f}  {share(errors, 0.5):>6.0f}  {share(errors, 0.99):>7.0f}  "
            f"{sum(per_token) / len(per_token):>12.0f}  {rate / ideal:>8.3f}  "
            f"{cpu / wall:>6.2f} {client / wall:>6.2f}"
        )


if __name__ == "__main__":
    main()
