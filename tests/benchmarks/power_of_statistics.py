"""How often do comparisons cry wolf, and how small a difference do they find? With the simulator, whose truth is known.

    python tests/benchmarks/power_of_statistics.py --draws 100
    python tests/benchmarks/power_of_statistics.py --self 20

The first form runs the measuring loop in this process, on a virtual clock: a new engine for every run, whose steps are
all slower by a draw of its own, as real processes are, and whose iterations scatter by about 1 %. One side is faster by
a known factor. `compare` sees one run of each side at the default number of iterations; `bench` sees pairs in a drawn
and mirrored order, five rounds (its default) and ten. With a drift, every further run is slower by so much. Told is the
share of draws in which the verdict on throughput was a difference in the true direction; in the first row, where there
is none, that is the rate of false alarms, which should be 5 % or less.

The second form compares configs with themselves through real worker processes and the store, as the commands do.
"""

import argparse
import asyncio
import itertools
import random
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from infertui.analysis.bench import bench_report
from infertui.analysis.compare import Comparison, compare
from infertui.config.bench_plan import DEFAULT_ROUNDS, orders, plan_bench
from infertui.config.engines.simulator import SimulatorOptions
from infertui.config.schema import Config, DeviceConfig, EngineConfig, MeasurementConfig, ModelConfig, WorkloadConfig
from infertui.config.sources import load
from infertui.config.sweep import Variant
from infertui.load.batches import iterations_of
from infertui.load.prompts import load_prompts
from infertui.measure.clock import VirtualClock
from infertui.measure.comparison import Ratio, Totals, paired, ratio
from infertui.measure.records import BatchRecord
from infertui.measure.summary import summarise
from infertui.results.observations import read_observations
from infertui.results.runs import Store
from infertui.runner.runner import Runner
from infertui.targets.engine.base import LoadRequest
from infertui.targets.engine.simulator import SimulatorEngine
from infertui.targets.engine.target import EngineTarget
from infertui.worker.protocol import BatchDone, Event, Measure
from infertui.worker.session import Session
from infertui.worker.stamps import Progress

DIFFERENCES = (0.0, 0.01, 0.02, 0.05, 0.10)
MOST_ROUNDS = 10
TTFT_MS, STEP_MS = 20.0, 5.0
JITTER_MS = 1.75
"""Steps then scatter by 0.51 ms around 5.88 ms, iterations of 64 tokens by 1.0 %."""
WORKLOAD = WorkloadConfig()


class Noise(Struct, frozen=True):
    """How processes differ (standard deviation as a share of a step), and how the machine drifts from run to run."""

    process: float
    drift: float


NOISES = (Noise(0.0, 0.0), Noise(0.01, 0.0), Noise(0.01, 0.005), Noise(0.02, 0.005))


def options(factor: float, noise: Noise, *, seeded: bool = True) -> SimulatorOptions:
    """A simulator whose every time is `factor` times the usual one."""
    usual = STEP_MS + JITTER_MS / 2
    # The deviation of an even draw from 0 to w is w / sqrt(12). A hair of it makes processes draw their jitter anew.
    width = max(noise.process * usual * 12**0.5, 1e-9 if seeded else 0.0)
    return SimulatorOptions(
        ttft_ms=TTFT_MS * factor, step_ms=STEP_MS * factor, jitter_ms=JITTER_MS * factor, process_ms=width * factor
    )


def measured(chosen: SimulatorOptions) -> list[BatchRecord]:
    """The batches of one run, in a simulated process of its own."""
    clock, batches = VirtualClock(), []
    engine = SimulatorEngine(clock)
    config = EngineConfig(name="simulator", simulator=chosen)
    request = LoadRequest(ModelConfig(), config, DeviceConfig())
    loaded = engine.load(request)
    prompts = load_prompts(WORKLOAD)
    measurement = MeasurementConfig(warmup=0)  # the simulator needs none
    iterations = iterations_of(WORKLOAD, measurement, len(prompts))

    def take(event: Event) -> None:
        if isinstance(event, BatchDone):
            batches.append(event.batch)

    Session(
        EngineTarget(engine, request, loaded), Measure(WORKLOAD, measurement, tuple(prompts), iterations),
        clock=clock, progress=Progress(clock), emit=take, await_proceed=lambda: None, cancelled=lambda: False,
    ).run()  # fmt: skip
    return batches


def rounds(difference: float, noise: Noise, draw: random.Random) -> Iterator[dict[str, list[BatchRecord]]]:
    """Pairs of runs in the order of a bench; `B` is faster by `difference`, and what comes later is slower."""
    number = itertools.count()
    for order in orders("AB", MOST_ROUNDS, draw.randrange(1 << 30)):
        yield {
            arm: measured(options((1 + noise.drift) ** next(number) / (1 + difference * (arm == "B")), noise))
            for arm in order
        }


def throughput(batches: Sequence[BatchRecord]) -> Totals:
    """As a comparison of single runs sees it."""
    return Totals(tuple(float(batch.tokens) for batch in batches), tuple(batch.seconds for batch in batches))


def found(verdict: Ratio | None, difference: float) -> bool:
    """Whether there is said to be a difference, and in the true direction where there is one."""
    return bool(verdict and verdict.differs and (verdict.value > 1 or not difference))


def power(draws: int, seed: int) -> None:
    """Print the table of the first form."""
    draw = random.Random(seed)
    iterations = iterations_of(WORKLOAD, MeasurementConfig(), len(load_prompts(WORKLOAD)))
    print(f"{draws} draws a line, {iterations} iterations of {WORKLOAD.output_len} tokens a run, which scatter by 1 %")
    print("processes  drift/run  true difference  compare  bench 5  bench 10  width of bench 5's interval")
    for noise, difference in itertools.product(NOISES, DIFFERENCES):
        counts, widths = [0, 0, 0], 0.0
        for _ in range(draws):
            pairs = list(rounds(difference, noise, draw))
            counts[0] += found(ratio(throughput(pairs[0]["A"]), throughput(pairs[0]["B"])), difference)
            speeds = [[summarise(pair[arm]).output_throughput or 0.0 for pair in pairs] for arm in "AB"]
            for at, number in enumerate((DEFAULT_ROUNDS, MOST_ROUNDS), start=1):
                verdict = paired(speeds[0][:number], speeds[1][:number])
                counts[at] += found(verdict, difference)
                if at == 1 and verdict and verdict.interval:
                    widths += (verdict.interval.high - verdict.interval.low) / draws
        shares = "  ".join(f"{count / draws:7.0%}" for count in counts)
        print(f"{noise.process:8.0%}   {noise.drift:8.1%}   {difference:14.0%}   {shares}   {widths:.1%}", flush=True)


def alone(times: int) -> None:
    """Print how often a config is said to differ from itself, measured by real worker processes."""
    for noise in (Noise(0.0, 0.0), Noise(0.01, 0.0)):
        _alone(times, noise)


def _alone(times: int, noise: Noise) -> None:
    chosen = {
        "engine.name": "simulator", "engine.simulator.virtual_time": True, "measurement.warmup": 1,
        "validity.max_others_cpu": 0.0,
        **{f"engine.simulator.{name}": getattr(options(1.0, noise), name)
           for name in ("ttft_ms", "step_ms", "jitter_ms", "process_ms")},
    }  # fmt: skip
    config = load(None, environ={}, flags={key: ("here", value) for key, value in chosen.items()}).config
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        singles, benches = asyncio.run(_measure(config, times, store))
    for what, all_of_them in (("compare", singles), ("bench --repeat 5", benches)):
        alarms = sum(one.figures[0].sign in "+-" for one in all_of_them)
        others = sum(
            figure.sign in ("+", "-") for one in all_of_them for figure in one.figures if figure.key != "memory"
        )
        figures = sum(
            figure.ratio is not None for one in all_of_them for figure in one.figures if figure.key != "memory"
        )
        print(f"{what}: {times} self-comparisons, processes differing by {noise.process:.0%}:")
        print(f"  false alarms: {alarms} on throughput, {others} among all {figures} figures of time", flush=True)


async def _measure(config: Config, times: int, store: Store) -> tuple[list[Comparison], list[Comparison]]:
    singles: list[Comparison] = []
    benches: list[Comparison] = []
    async with Runner() as runner:
        for number in range(times):
            pair = plan_bench([("A", config), ("B", config)], 1, number)
            one, other = await runner.run_all([Variant("", run.config, {}) for run in pair], store.root)
            observed = (read_observations(store.folder_of(one.id)), read_observations(store.folder_of(other.id)))
            singles.append(compare(one, other, observed))
            results = await runner.run_all(
                plan_bench([("A", config), ("A", config)], DEFAULT_ROUNDS, number), store.root
            )
            benches += bench_report(results).comparisons
            print(f"{number + 1}/{times}", flush=True)
    return singles, benches


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=100, help="repetitions of each line of the table")
    parser.add_argument("--self", type=int, default=0, dest="times", metavar="N", help="self-comparisons by processes")
    parser.add_argument("--seed", type=int, default=1, help="of the orders of runs")
    arguments = parser.parse_args()
    if arguments.times:
        alone(arguments.times)
    else:
        power(arguments.draws, arguments.seed)
