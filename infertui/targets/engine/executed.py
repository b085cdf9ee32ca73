"""How decode steps were executed: the facts apart, and the one word that tables and charts have for them.

Replays of CUDA graphs are counted in this process, whoever captured them.
"""

from typing import Any, Literal

Compiled = Literal["", "no", "fresh", "cache", "both"]
"""Whether steps ran as code of a compiler, and where that came from: made now, read from a cache of an earlier start,
or some of each. Empty: the engine does not say."""

Graphs = Literal["", "no", "captured", "replayed"]
"""Whether steps were captured as CUDA graphs, and whether these were replayed. Empty: the engine does not say."""

_PLAIN = ("", "eager", "compile", "graphs")


def executed(mode: str, compiled: str, graphs: str) -> str:
    """`eager`, `compile`, `graphs` or `compile+graphs`; empty where nothing is known.

    `mode` is the option in force. A way with a name of its own keeps it: `static` and `continuous`, which may be
    compiled or captured besides, and `cudagraph`, which says that it is.
    """
    if mode not in (*_PLAIN, "static", "continuous") or not (compiled or graphs):
        return mode
    parts = [
        "" if mode in _PLAIN else mode,
        "compile" if compiled not in ("", "no") or (mode == "compile" and not compiled) else "",
        "graphs" if graphs == "replayed" else "",
    ]
    return "+".join(filter(None, parts)) or "eager"


def source(read: int, made: int) -> Compiled:
    """Where compiled code came from, of which so many pieces were read from a cache and so many made now."""
    if not read:
        return "fresh"
    return "both" if made else "cache"


class Replays:
    """Counts calls of `replay` of a class, torch.cuda.CUDAGraph unless another is given, from now on.

    It costs one more Python call a replay, some tenths of a microsecond: a decode step is one or two of them.
    """

    def __init__(self, graph: Any = None) -> None:
        if graph is None:
            import torch

            graph = torch.cuda.CUDAGraph
        self.count = 0
        replay = graph.replay

        def counted(held: Any, *arguments: Any, **options: Any) -> Any:
            self.count += 1
            return replay(held, *arguments, **options)

        graph.replay = counted
