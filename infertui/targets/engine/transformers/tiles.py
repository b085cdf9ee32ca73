"""How matrix-vector products are divided among programs, chosen by timing."""

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import torch

_ROUNDS = 9
_REPLAYS = 3


class Tile(NamedTuple):
    """Rows of the matrix that a program takes, columns that it takes at a time, and its warps."""

    rows: int
    columns: int
    warps: int


# For each of ten shapes between 2048 x 2048 and 128256 x 4096 one of these was within 5 % of the best on an H200.
TILES = (Tile(8, 2048, 4), Tile(8, 1024, 4), Tile(2, 1024, 1), Tile(8, 256, 1))


def fastest(tiles: Sequence[Tile], launch: Callable[[Tile], None]) -> Tile:
    """The tile with which `launch` takes the least device time; the first one where there is no CUDA device.

    They are timed in turn, round after round, so that clocks which rise or fall meanwhile favour none.
    """
    import torch

    if not torch.cuda.is_available():
        return tiles[0]
    graphs = {tile: _captured(launch, tile) for tile in tiles}
    times: dict[Tile, list[float]] = {tile: [] for tile in tiles}
    for _ in range(_ROUNDS):
        for tile, graph in graphs.items():
            times[tile].append(_milliseconds(graph))
    return min(tiles, key=lambda tile: median(times[tile]))


def tiles_in_words(tiles: Mapping[str, Tile]) -> str:
    """Each product's rows x columns x warps."""
    return ", ".join(f"{name} {tile.rows}x{tile.columns}x{tile.warps}" for name, tile in tiles.items())


def _captured(launch: Callable[[Tile], None], tile: Tile) -> "torch.cuda.CUDAGraph":
    import torch

    launch(tile)  # compiles
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        launch(tile)
    graph.replay()
    return graph


def _milliseconds(graph: "torch.cuda.CUDAGraph") -> float:
    import torch

    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    for _ in range(_REPLAYS):
        graph.replay()
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end))
