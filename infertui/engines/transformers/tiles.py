"""How a matrix-vector product is divided among programs, chosen by timing."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import torch

_ROUNDS = 3


class Tile(NamedTuple):
    """Rows of the matrix that a program takes, columns that it takes at a time, and its warps."""

    rows: int
    columns: int
    warps: int


# For each of ten shapes between 2048 x 2048 and 128256 x 4096 one of these was within 5 % of the best on an H200.
TILES = (Tile(8, 2048, 4), Tile(8, 1024, 4), Tile(2, 1024, 1), Tile(8, 256, 1))


def fastest(tiles: Sequence[Tile], launch: Callable[[Tile], None]) -> Tile:
    """The tile with which `launch` takes the least device time; the first one where there is no CUDA device."""
    import torch

    if not torch.cuda.is_available():
        return tiles[0]
    times = {}
    for tile in tiles:
        launch(tile)  # compiles
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            launch(tile)
        times[tile] = min(_milliseconds(graph) for _ in range(_ROUNDS))
    return min(times, key=times.__getitem__)


def _milliseconds(graph: "torch.cuda.CUDAGraph") -> float:
    import torch

    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    graph.replay()
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end))
