"""How steps were executed: the word for the facts, where they come from, and how replays are counted."""

import pytest

from infertui.targets.engine.executed import Replays, executed, source


@pytest.mark.parametrize(
    ("mode", "compiled", "graphs", "word"),
    [
        ("compile", "fresh", "replayed", "compile+graphs"),
        ("compile", "cache", "replayed", "compile+graphs"),
        ("compile", "cache", "no", "compile"),
        ("compile", "both", "captured", "compile"),
        ("compile", "", "replayed", "compile+graphs"),
        ("graphs", "no", "replayed", "graphs"),
        ("eager", "no", "no", "eager"),
        ("eager", "cache", "no", "compile"),
        ("static", "no", "no", "static"),
        ("continuous", "no", "replayed", "continuous+graphs"),
        ("continuous", "no", "captured", "continuous"),
        ("cudagraph", "fresh", "replayed", "cudagraph"),
        # An engine of another package, and results that were kept before the facts were.
        ("fancy", "fresh", "replayed", "fancy"),
        ("compile", "", "", "compile"),
        ("", "", "", ""),
    ],
)
def test_the_word_is_made_of_the_facts(mode: str, compiled: str, graphs: str, word: str) -> None:
    assert executed(mode, compiled, graphs) == word


@pytest.mark.parametrize(("read", "made", "word"), [(0, 0, "fresh"), (0, 3, "fresh"), (2, 1, "both"), (2, 0, "cache")])
def test_code_comes_from_where_its_pieces_come_from(read: int, made: int, word: str) -> None:
    assert source(read, made) == word


def test_replays_are_counted_from_then_on_and_still_happen() -> None:
    class Graph:
        replayed = 0

        def replay(self) -> int:
            self.replayed += 1
            return self.replayed

    graph = Graph()
    graph.replay()
    first = Replays(Graph)
    assert [graph.replay(), Graph().replay()] == [2, 1]
    second = Replays(Graph)
    graph.replay()
    assert (first.count, second.count, graph.replayed) == (3, 1, 3)
