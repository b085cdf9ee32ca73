import os
import threading
from collections.abc import Iterator

import pytest

from infertui.tui.terminal.driver import LIMIT, TerminalWriter


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        try:
            os.close(end)
        except OSError:
            continue


def drain(fd: int, until: int) -> bytes:
    got = b""
    while len(got) < until:
        got += os.read(fd, 1 << 16)
    return got


def test_text_arrives_whole_and_in_order(pipe: tuple[int, int]) -> None:
    outlet = TerminalWriter(pipe[1])
    outlet.start()
    texts = [f"{number} é \udcff\n" for number in range(50)]
    for text in texts:
        outlet.write(text)
    wanted = "".join(texts).encode("utf-8", "replace")
    assert drain(pipe[0], len(wanted)) == wanted
    outlet.stop()
    assert not outlet.is_alive()
    assert outlet.written == len(wanted)
    assert not outlet.lost


def test_a_reader_that_sleeps_never_blocks_the_writer(pipe: tuple[int, int]) -> None:
    outlet = TerminalWriter(pipe[1])
    outlet.start()
    for _ in range(200):
        outlet.write("x" * 20_000)
    assert outlet.behind
    assert outlet.lost
    assert outlet.waiting * 20_000 <= LIMIT + 20_000
    outlet.discard()
    assert outlet.waiting <= 1
    reader = threading.Thread(target=drain, args=(pipe[0], 20_000))
    reader.start()
    outlet.stop()
    reader.join(10)
    assert not outlet.is_alive()


def test_stopping_does_not_wait_for_a_dead_reader(pipe: tuple[int, int]) -> None:
    outlet = TerminalWriter(pipe[1])
    outlet.start()
    for _ in range(20):
        outlet.write("x" * 20_000)
    outlet.stop()
    assert outlet.is_alive()  # still in its write, and a daemon
    os.close(pipe[0])  # lets it go


def test_a_terminal_that_is_gone_is_noticed(pipe: tuple[int, int]) -> None:
    outlet = TerminalWriter(pipe[1])
    outlet.start()
    os.close(pipe[0])
    outlet.write("x")
    outlet.join(10)
    assert outlet.dead
    outlet.write("y")
    assert outlet.waiting == 0


def test_one_text_larger_than_the_limit_still_goes(pipe: tuple[int, int]) -> None:
    outlet = TerminalWriter(pipe[1])
    outlet.start()
    outlet.write("x" * (LIMIT + 1))
    assert len(drain(pipe[0], LIMIT + 1)) == LIMIT + 1
    outlet.stop()
