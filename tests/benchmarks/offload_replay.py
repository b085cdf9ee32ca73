"""Studies from coarse to fine, played over the points of an exhaustive one, on smaller cards than it was measured on.

    python tests/benchmarks/offload_replay.py reports/profile-.../profile.json...

An exhaustive study (`infertui profile MODEL --layers 0-99+1`) has the speed and memory of every number of layers. What
a study from coarse to fine would have measured and chosen on a card with less memory, with and without others there,
follows from these without another run: how many points it takes, and how near its choice is to the best.
"""

import sys
from pathlib import Path

import msgspec
from msgspec.structs import replace

from infertui.analysis.offload.card import Card
from infertui.analysis.offload.coarse import next_layers
from infertui.analysis.offload.layers import budget
from infertui.analysis.offload.points import OffloadPoint
from infertui.analysis.offload.study import OffloadStudy

SHARES = (0.35, 0.5, 0.7, 0.85, 1.0, 1.3, 2.0)
"""Memory of the card, as a part of what all layers take."""
OTHERS = (0.0, 0.15)
"""What others use of it, as a share."""


def played(points: dict[int, OffloadPoint], most: int, card: Card) -> list[OffloadPoint]:
    """The points that a study measures on this card; those without room there fail."""
    found: list[OffloadPoint] = []
    while (layers := next_layers(found, most, card, lambda _: None, budget(most))) is not None:
        point = points[layers]
        assert point.vram is not None
        assert card.total is not None
        if not replace(card, ceiling=1.0).fits(point.vram):
            found.append(OffloadPoint(layers, failure="out-of-memory", error="no room"))
        else:
            found.append(replace(point, vram_share=point.vram / card.total))
    return found


def main() -> None:
    print(
        f"{'model':<28} {'form':<6} {'card GiB':>8} {'others':>6} {'runs':>7} {'chosen':>6} {'best':>5} {'of best':>8}"
    )
    for path in map(Path, sys.argv[1:]):
        study = msgspec.json.decode(path.read_bytes(), type=OffloadStudy)
        points = {row.point.layers: row.point for row in study.rows if row.point.measured and row.point.vram}
        most = study.subject.layers
        if len(points) < most + 1:
            print(f"{path}: {len(points)} of {most + 1} points: not exhaustive")
            continue
        whole = points[most].vram or 0
        for share in SHARES:
            for others in OTHERS:
                card = Card(round(share * whole), round(others * share * whole))
                allowed = {n: point for n, point in points.items() if point.vram and card.fits(point.vram)}
                if not allowed:
                    continue
                found = played(points, most, card)
                best = max(allowed.values(), key=lambda point: point.throughput or 0.0)
                fitting = [point for point in found if point.vram and card.fits(point.vram)]
                chosen = max(fitting, key=lambda point: point.throughput or 0.0)
                ratio = (chosen.throughput or 0.0) / (best.throughput or 1.0)
                print(
                    f"{study.subject.model:<28} {study.subject.quantization:<6} {(card.total or 0) / 2**30:>8.2f} "
                    f"{others:>6.0%} {len(found):>3} of {most + 1:<2} {chosen.layers:>5} {best.layers:>5} {ratio:>8.1%}"
                )


if __name__ == "__main__":
    main()
