"""How often intervals hold the truth, and how often equal runs, gates and marks cry wolf: a table in Markdown.

    python tests/benchmarks/statistics_table.py --draws 1000 --tree path/to/another/checkout > before.md
    python tests/benchmarks/statistics_table.py --draws 1000 --before before.md > after.md

Runs are drawn from times whose truth is known, `tests/support/series.py`. An interval should hold it in 95 of 100;
a comparison of equal runs, and a mark on noise, should err in 5 and in 1 of 100. Told in brackets is in how many draws
there was an interval, where not in all. With 1000 draws a share of 5 % is known to 0.7 points (1 sigma). With `--tree`
the program of another checkout is looked at, as far as it can do the same; its rows stand in the same cells with
`--before`.
"""

import argparse
import importlib
import itertools
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parents[2]
COUNTS = (3, 5, 10, 20)
VARIATION = 0.02
Row = tuple[str, list[str]]


class Program:
    """The functions of a checkout, under the names that they have or had there."""

    def __init__(self) -> None:
        self.comparison: Any = importlib.import_module("infertui.measure.comparison")
        self.statistics: Any = importlib.import_module("infertui.measure.statistics")
        self.paired: Any = importlib.import_module("infertui.measure.comparison")
        self.validity: Any = importlib.import_module("infertui.measure.validity")
        self.warmup: Any = importlib.import_module("infertui.measure.validity")
        self.schema: Any = importlib.import_module("infertui.config.schema")
        bounds = getattr(self.statistics, "ratio_bounds", None)
        before = getattr(self.statistics, "ratio_interval", None) or getattr(self.statistics, "bootstrap_ratio", None)
        self.interval: Any = (lambda *run: bounds(*run).interval) if bounds else before
        self.stretches = "stretches" in self.comparison.Totals.__struct_fields__

    def ratio(self, one: Any, other: Any) -> Any:
        """Of times of iterations, or of their stretches."""
        return self.comparison.ratio(self._totals(one), self._totals(other))

    def bounds(self, run: Any) -> Any:
        """The interval of 10 tokens over the time of each iteration, which may be told in stretches."""
        times = [sum(each) for each in run] if isinstance(run[0], list) else run
        known = (run,) if isinstance(run[0], list) and self.stretches else ()
        return self.interval([10.0] * len(times), times, *known)

    def _totals(self, run: Any) -> Any:
        if not isinstance(run[0], list):
            return self.comparison.Totals.mean_of(run)
        known = (tuple(tuple(each) for each in run),) if self.stretches else ()
        return self.comparison.Totals((10.0,) * len(run), tuple(sum(each) for each in run), *known)

    def judged(self, seconds: Sequence[float], warmup: Sequence[float] = (), *, steady: bool | None = None) -> Any:
        batches, before = (tuple(even_batch(time, tokens=50) for time in times) for times in (seconds, warmup))
        known = {"warmup": before} if "warmup" in self.validity.Circumstances.__struct_fields__ else {}
        seen = self.validity.Circumstances(output_len=50, warmup_steady=steady, **known)
        return self.validity.judge(batches, seen, self.schema.ValidityConfig())


def share(of: int, all_of_them: int) -> str:
    return f"{100 * of / all_of_them:.1f}" if all_of_them else "-"


def with_shown(good: int, shown: int, draws: int) -> str:
    return share(good, shown) + (f" ({100 * shown / draws:.0f} % told)" if shown < draws else "")


def runs() -> dict[str, tuple[Any, float]]:
    """Iterations, and iterations in stretches, each with its mean time."""
    return {
        **{name: (series, series.mean) for name, series in SERIES.items()},
        **{f"in stretches: {name}": (series, float(EACH)) for name, series in STRETCHED.items()},
    }


def coverage(program: Program, draws: int) -> Iterator[Row]:
    for name, (series, mean) in runs().items():
        cells = []
        for count in COUNTS:
            times = series.draw(np.random.default_rng(count), draws, count).tolist()
            found = [one for run in times if (one := program.bounds(run)) is not None]
            cells.append(with_shown(sum(one.low <= 10 / mean <= one.high for one in found), len(found), draws))
        yield f"interval of one run, {name}", cells


def alarms(program: Program, draws: int) -> Iterator[Row]:
    for name, (series, _) in runs().items():
        found, ranks = [], []
        for count in COUNTS:
            times = series.draw(np.random.default_rng(count), 2 * draws, count).tolist()
            ratios = [program.ratio(one, other) for one, other in zip(times[::2], times[1::2], strict=True)]
            told = [one for one in ratios if one is not None and one.interval is not None]
            found.append(with_shown(sum(one.differs for one in told), len(told), draws))
            ranks.append(share(sum(one.p is not None and one.p < 0.05 for one in ratios), draws))
        yield f"compare, equal runs differ, {name}", found
        yield f"rank test below 5 %, {name}", ranks


def benches(program: Program, draws: int) -> Iterator[Row]:
    """Rounds of a bench: equal configs, whose runs differ by 2 %, also where all become slower from run to run."""
    for name, series in {**SERIES, "drifting 20 %": moving(lambda n: np.linspace(1, 1.2, n), VARIATION)}.items():
        differs, fails = [], []
        for count in COUNTS:
            times = series.draw(np.random.default_rng(count), draws, 2 * count)
            # In a mirrored order: A B B A A B ...
            first = [2 * at + at % 2 for at in range(count)]
            second = [at ^ 1 for at in first]
            found = [program.paired.paired(run[first].tolist(), run[second].tolist()) for run in times]
            told = [one for one in found if one is not None and one.interval is not None]
            differs.append(with_shown(sum(one.differs for one in told), len(told), draws))
            fails.append(share(sum(one.interval.high < 1 - 0.03 for one in told), draws))
        yield f"bench, equal configs differ, {name}", differs
        yield f"gate `throughput < -3%` fails for sure, {name}", fails


def marks(program: Program, draws: int) -> Iterator[Row]:
    noises = {f"normal {100 * width:.0f} %": normal(width) for width in (0.03, 0.05, 0.08)}
    shapes = {
        "line of -20 %": lambda n: 1 / np.linspace(1, 0.8, n),
        "step of -20 %": lambda n: np.where(np.arange(n) < n / 2, 1.0, 1.25),
    }
    moves = {f"{name}, noise 2 %": moving(shape, VARIATION) for name, shape in shapes.items()}
    for name, series in {**noises, **SERIES, **moves}.items():
        drift, warming, noisy, invalid = [], [], [], []
        for count in COUNTS:
            times = series.draw(np.random.default_rng(count), draws, count).tolist()
            found = [program.judged(run) for run in times]
            drift.append(share(sum("drift" in one.marks for one in found), draws))
            warming.append(share(sum("warming" in one.marks for one in found), draws))
            noisy.append(share(sum(any("varied" in text for text in one.invalid) for one in found), draws))
            invalid.append(share(sum(any("drifted" in text for text in one.invalid) for one in found), draws))
        yield f"marked drift, {name}", drift
        yield f"invalid by drift, {name}", invalid
        yield f"marked warming, {name}", warming
        yield f"invalid by variation, {name}", noisy


def warmups(program: Program, draws: int) -> Iterator[Row]:
    """Step times of a tenth of a second that decay through warm-up and measuring, with noise of 0.5 and 2 %."""
    decays = ((0.0, 1.0), (0.2, 20.0), (0.5, 10.0), (1.0, 20.0))
    for width, (height, constant) in itertools.product((0.005, 0.02), decays):
        spent, off, hidden = [], [], []
        for count in COUNTS:
            generator = np.random.default_rng(count)
            batches, away, unmarked = 0, 0.0, 0
            for _ in range(draws):
                noise = generator.normal(1, width, 300).tolist()
                steps = [(1 + height * math.exp(-k / constant)) * noise[k] for k in range(300)]
                at = 0
                while not (state := program.warmup.warmup_state(steps[:at], 0.1 * at, count=None)).done:
                    at += 1
                run = steps[at : at + count]
                verdict = program.judged(run, steps[:at], steady=state.steady)
                bias = sum(height * math.exp(-k / constant) for k in range(at, at + count)) / count
                batches, away = batches + at, away + bias
                unmarked += bias > 0.05 and not verdict.marks
            spent.append(f"{batches / draws:.1f}")
            off.append(f"{100 * away / draws:.1f}")
            hidden.append(share(unmarked, draws))
        what = f"step 1 + {height:g} exp(-k / {constant:g})" if height else "steady step"
        what += f", noise {100 * width:g} %"
        yield f"{what}: batches of warm-up", spent
        yield f"{what}: time above plateau, %", off
        yield f"{what}: over 5 % off and unmarked", hidden


PARTS: dict[str, Callable[[Program, int], Iterator[Row]]] = {
    "coverage": coverage, "alarms": alarms, "benches": benches, "marks": marks, "warmups": warmups,
}  # fmt: skip


def rows_of(text: str) -> dict[str, list[str]]:
    """The rows of a table that was printed before, by their names."""
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    return {row[0]: row[1:] for row in cells}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=1000, help="runs drawn for each cell")
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=list(PARTS))
    parser.add_argument("--before", type=Path, help="what this program printed of another checkout")
    parser.add_argument("--tree", type=Path, default=HERE, help="the checkout to look at")
    arguments = parser.parse_args()
    before = rows_of(arguments.before.read_text(encoding="utf-8")) if arguments.before else {}
    print(f"Shares in %, of {arguments.draws} draws; columns are iterations, rounds for bench and gate.\n")
    print(f"| what | {' | '.join(map(str, COUNTS))} |\n| --- |{' --- |' * len(COUNTS)}")
    program = Program()
    for part in arguments.parts:
        for name, cells in PARTS[part](program, arguments.draws):
            beside = before.get(name)
            both = cells if beside is None else [f"{one} → {other}" for one, other in zip(beside, cells, strict=True)]
            print(f"| {name} | {' | '.join(both)} |", flush=True)


if __name__ == "__main__":
    at = sys.argv.index("--tree") + 1 if "--tree" in sys.argv else 0
    sys.path[:0] = [sys.argv[at] if at else str(HERE), str(HERE / "tests")]
    from support.batches import even_batch
    from support.series import EACH, SERIES, STRETCHED, moving, normal

    main()
