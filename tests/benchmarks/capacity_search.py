"""How often searches for a capacity find it, and how often their intervals hold it: a table, on simulated servers.

    python tests/benchmarks/capacity_search.py --seeds 200
    python tests/benchmarks/capacity_search.py --seeds 40 --queue 30
    python tests/benchmarks/capacity_search.py --seeds 200 --bursts 0.5

Each seed is a whole search. The truth of the curves is where they cross their limit. `--queue` searches the rate of a
queue with eight slots of 185 ms, with stays of so many seconds: its truth, the rate at which the 95th percentile of
TTFT is 200 ms, is 36.3 a second, by a simulation of 20,000 s (36.0 has 190 ms, 37.0 has 223 ms). There what is beyond
the limit comes in bursts that last for seconds, and each stay begins with an empty queue, which a live search does not.
`--bursts` lets every request within bursts of so many seconds on average be too late, by chance, with stays of 20 times
that and a share of 5 % at 40 requests a second, rising with the third power of the rate.
"""

import argparse
import heapq
import math
import random
import sys
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.simulated_load import answered, ns

from infertui.analysis.capacity.observed import LevelSeen, TermBlocks, objectives
from infertui.analysis.capacity.search import NextStep, SearchPlan, next_step
from infertui.measure.load.slo import parse_slo
from infertui.measure.load.summary import AskedLoad
from infertui.measure.records import Request
from infertui.runner.capacity.stay import LevelStay
from infertui.worker.loadgen.protocol import LoadSnapshot

SLO = parse_slo("tpot.mean<20ms ttft.p95<200ms")
BLOCKS = 12
Curve = Callable[[float], float]
QUEUE_TRUTH, SLOTS, SERVICE_S = 36.3, 8, 0.185
BURST_TRUTH = 40.0
CURVES: dict[str, tuple[str, Curve, Curve, float]] = {
    "line": ("concurrency", lambda level: 0.004 + 0.016 * level / 100, lambda _: 0.001, 100.0),
    "line, few": ("concurrency", lambda level: 0.004 + 0.016 * level / 6.5, lambda _: 0.001, 6.5),
    "tail": ("concurrency", lambda _: 0.005, lambda level: 0.05 * (level / 100) ** 3, 100.0),
    "queue's mean": ("rate", lambda level: 0.006 / (1 - min(level, 49.0) / 50), lambda _: 0.001, 35.0),
    "cliff": ("rate", lambda level: 0.006 if level < 33.3 else 0.06, lambda _: 0.001, 33.3),
    "slots": ("concurrency", lambda _: 0.005, lambda level: 0.001 if level <= 77 else 0.6, 77.5),
}


def drawn(rng: random.Random, level: float, tpot: float, late: float, stay: int) -> LevelSeen:
    """A stay of ten seconds: means and shares that wander from block to block."""
    each, wander = max(1, int(10 * level + BLOCKS) // BLOCKS), 0.0
    means, over = [], []
    for _ in range(BLOCKS):
        wander = 0.3 * wander + rng.gauss(0, 0.05)
        means.append(each * tpot * (1 + wander))
        share = min(1.0, late * math.exp(rng.gauss(0, 0.2)))
        over.append(float(sum(rng.random() < share for _ in range(each))))
    below = (float(each),) * BLOCKS
    terms = (TermBlocks(tuple(means), below), TermBlocks(tuple(over), below), TermBlocks((0.0,) * BLOCKS, below))
    return LevelSeen(level, stay, 0.0, 10.0, each * BLOCKS, terms)


def on_curve(seed: int, kind: str, tpot: Curve, late: Curve) -> tuple[NextStep, int]:
    rng, seen = random.Random(seed), list[LevelSeen]()
    plan = SearchPlan(kind, objectives(SLO))  # type: ignore[arg-type]
    while True:
        step = next_step(plan, seen, 0.0)
        if step.level is None:
            return step, len(seen)
        seen.append(drawn(rng, step.level, tpot(step.level), late(step.level), len(seen)))


def queued(rate: float, seconds: float, seed: int) -> list[Request]:
    rng, free, at, requests = random.Random(seed), [0.0] * SLOTS, 0.0, list[Request]()
    while True:
        at += rng.expovariate(rate)
        if at > seconds:
            return requests
        begin = max(at, heapq.heappop(free))
        heapq.heappush(free, begin + SERVICE_S)
        requests.append(answered(at, begin - at + 0.03, 0.005, 32))


def on_queue(seed: int, stay_s: float) -> tuple[NextStep, int]:
    slo, seen = parse_slo("ttft.p95<200ms"), list[LevelSeen]()
    plan = SearchPlan("rate", objectives(slo), start=10.0)
    while True:
        step = next_step(plan, seen, 0.0)
        if step.level is None:
            return step, len(seen)
        left = queued(step.level, 6 * stay_s + 30, 1000 * seed + len(seen))
        left.sort(key=lambda one: one.end_ns)
        stay, now, at, end = (
            LevelStay(step.level, AskedLoad(rate=step.level, slo=slo), begin_ns=0, stay_s=stay_s),
            0,
            0,
            None,
        )
        while end is None:
            now, before = now + ns(0.5), at
            while at < len(left) and left[at].end_ns <= now:
                at += 1
            stay.add(left[before:at])
            stay.snapshot(0, LoadSnapshot(now, 5, 0, 0, 0, 0, lag_ns=1000, late_ns=0, cpu=0.1))
            end = stay.look(now)
        seen.append(stay.result(end, now, number=len(seen), at=0.0, seed=0).observation)


def in_bursts(rng: random.Random, level: float, burst_s: float, number: int) -> LevelSeen:
    """A stay in which bursts and calm follow one another, each as long as it is by chance."""
    share, seconds = min(0.9, 0.05 * (level / BURST_TRUTH) ** 3), 20 * burst_s
    late, at, edges = rng.random() < share, 0.0, list[tuple[float, bool]]()
    while at < seconds:
        at += rng.expovariate(1 / burst_s if late else share / (burst_s * (1 - share)))
        edges.append((at, late))
        late = not late
    times = sorted(rng.random() * seconds for _ in range(max(1, int(level * seconds))))
    over = [next(found for end, found in edges if when <= end) for when in times]
    cuts = [len(over) * block // min(BLOCKS, len(over)) for block in range(min(BLOCKS, len(over)) + 1)]
    above = tuple(float(sum(over[a:b])) for a, b in pairwise(cuts))
    below = tuple(float(b - a) for a, b in pairwise(cuts))
    terms = (TermBlocks(above, below), TermBlocks((0.0,) * len(below), below))
    return LevelSeen(level, number, 0.0, seconds, len(over), terms)


def on_bursts(seed: int, burst_s: float) -> tuple[NextStep, int]:
    rng, seen = random.Random(seed), list[LevelSeen]()
    plan = SearchPlan("rate", objectives(parse_slo("ttft.p95<200ms")), start=8.0)
    while True:
        step = next_step(plan, seen, 0.0)
        if step.level is None:
            return step, len(seen)
        seen.append(in_bursts(rng, step.level, burst_s, len(seen)))


def row(name: str, seeds: int, truth: float, search: Callable[[int], tuple[NextStep, int]]) -> str:
    held = near = stays = 0
    endings: Counter[str] = Counter()
    for seed in range(seeds):
        step, count = search(seed)
        found, stays = step.boundary, stays + count
        endings[step.ending] += 1
        if found.level is not None and found.interval is not None:
            held += found.interval.low <= truth <= found.interval.high
            near += abs(found.level / truth - 1) <= 0.05
    ended = ", ".join(f"{count} {word}" for word, count in endings.items())
    return f"| {name} | {truth:g} | {held / seeds:.1%} | {near / seeds:.1%} | {stays / seeds:.1f} | {ended} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--queue", type=float, help="seconds of a stay at the queue, which alone is searched")
    parser.add_argument("--bursts", type=float, help="mean seconds of a burst, with which alone is searched")
    asked = parser.parse_args()
    print("| server | truth | interval holds it | within 5 % | stays | ended |\n| --- | --- | --- | --- | --- | --- |")
    if asked.queue:
        stay_s: float = asked.queue
        print(row(f"slots, stays of {stay_s:g} s", asked.seeds, QUEUE_TRUTH, lambda seed: on_queue(seed, stay_s)))
        return
    if asked.bursts:
        burst_s: float = asked.bursts
        print(row(f"bursts of {burst_s:g} s", asked.seeds, BURST_TRUTH, lambda seed: on_bursts(seed, burst_s)))
        return
    for name, (kind, tpot, late, truth) in CURVES.items():
        print(row(name, asked.seeds, truth, lambda seed, k=kind, t=tpot, s=late: on_curve(seed, k, t, s)), flush=True)  # type: ignore[misc]


if __name__ == "__main__":
    main()
