"""Counts how often CUDA graphs are replayed in this process, whoever captured them."""

from typing import Any


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
