"""How exactly load generators stamp: against a mock whose TTFT is 50.02 ms and whose ITL is 10.00 ms, 64 tokens each.

    python tests/benchmarks/load_accuracy.py [--seconds 10] [--parts 1] [--first] [64 256 1024 200/s 800/s ...]

A number is so many requests in flight, `N/s` a Poisson rate. Printed are errors of the mean and of the 99th percentile
of TTFT, over the whole run and from its third second on; the error of ITL; the rate of answers in whole periods against
the ideal one; what the server says of its own delays, of arrivals and of how many were there at most; and what the
clients used. The server shares the machine: with few cores, or where others work, its delays and the scheduler's are in
the figures. `--first` gives both the processor before all others (SCHED_FIFO, as root): then the client's own error is
what is left.
"""

import argparse
import asyncio
import math
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from msgspec import Struct

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.loads import Told, clients, listen
from support.mock_process import MockProcess, mock_process

from infertui.config.endpoint import LoadConfig, TargetConfig
from infertui.config.schema import WorkloadConfig
from infertui.load.planner import plan_of
from infertui.measure.records import Request
from infertui.worker.loadgen.protocol import PreparePart

TTFT_MS, ITL_MS, TOKENS = 50.02, 10.0, 64
PERIOD_S = (TTFT_MS + (TOKENS - 1) * ITL_MS) / 1000
WARM_S = 2.0


class Measured(Struct):
    """What a load came to, on its own clock."""

    told: Told
    begin_ns: int
    seconds: float
    server: dict[str, Any]


async def measure(server: MockProcess, command: PreparePart, *, seconds: float, parts: int, first: bool) -> Measured:
    """Run a load for some time, and let it end by itself."""
    told = Told()
    server.reset()
    with tempfile.TemporaryDirectory() as folder:
        async with clients(Path(folder), parts=parts) as spawned:
            for pid in spawned.pids if first else ():
                os.sched_setscheduler(pid, os.SCHED_FIFO, os.sched_param(5))
            await spawned.prepare(command)
            begin_ns = await spawned.start(spread_s=ITL_MS / 1000)
            listening = asyncio.create_task(listen(spawned, told))
            await asyncio.sleep(seconds)
            await spawned.stop(drain=True)
            await listening
    return Measured(told, begin_ns, seconds, server.stats())


def ttft_errors(requests: list[Request]) -> str:
    """Mean and 99th percentile of TTFT less the truth, ms."""
    times = sorted(one.ttft * 1000 - TTFT_MS for one in requests if one.ttft is not None)
    if not times:
        return "n/a"
    return f"{statistics.fmean(times):+7.3f} {times[math.ceil(0.99 * len(times)) - 1]:+8.3f}"


def show(name: str, found: Measured, command: PreparePart, parts: int) -> None:
    """One line of errors, one of the server, one of the clients."""
    told, load = found.told, command.load
    good = [one for one in told.requests if not one.error_kind]
    begin_ns = found.begin_ns + int(WARM_S * 1e9)
    periods = max(1, int((found.seconds - WARM_S) / PERIOD_S))
    end_ns = begin_ns + int(periods * PERIOD_S * 1e9)
    steady = [one for one in good if one.sent_ns >= begin_ns and one.end_ns <= found.begin_ns + found.seconds * 1e9]
    gaps = [one.itl for one in steady if one.itl is not None and one.itl.mean is not None]
    itl_ms = sum((one.mean or 0.0) * one.count for one in gaps) / max(1, sum(one.count for one in gaps)) * 1000
    ended = sum(begin_ns < one.end_ns <= end_ns for one in good)
    if load.request_rate:
        until_s = found.seconds - 0.5
        plan = plan_of(load, command.workload).requests()
        due = next(number for number, planned in enumerate(plan) if (planned.due or 0.0) > until_s)
        sent = sum(one.sent_ns <= found.begin_ns + until_s * 1e9 for one in told.requests)
        rate = f"{sent} sent of {due} due {100 * (sent / due - 1):+.2f} %"
    else:
        rate = f"{ended / periods / PERIOD_S:8.1f}/s {100 * (ended / periods / load.concurrency - 1):+6.2f} %"
    print(
        f"{name:>7} x{parts}  TTFT whole {ttft_errors(good)}  steady {ttft_errors(steady)}  "
        f"ITL {100 * (itl_ms / ITL_MS - 1):+6.3f} %  rate {rate}  failed {len(told.requests) - len(good)}"
    )
    late, arrivals = found.server["first_token_lateness"], found.server["arrivals"]
    cv = arrivals["cv"]
    print(
        f"{'server':>18}: first token late by {late['mean_us'] / 1000:.3f} ms, at most {late['max_us'] / 1000:.2f}; "
        f"at most {found.server['peak_in_system']} there; gaps {arrivals['mean_s'] * 1000:.3f} ms"
        + (f", CV {cv:.3f}" if cv is not None else "")
    )
    meters = [done.meter for done in told.done]
    print(
        f"{'clients':>18}: "
        + "; ".join(
            f"{meter.cpu_s / meter.wall_s:.2f} core, sent late p99 {meter.late_p99_s * 1000:.2f} max "
            f"{meter.late_max_s * 1000:.2f} ms, loop late p99 {meter.lag_p99_s * 1000:.2f} max "
            f"{meter.lag_max_s * 1000:.2f} ms, ready in {meter.start_s:.2f} s"
            for meter in meters
        )
    )


def main() -> None:
    """Each load in turn, against one server."""
    parser = argparse.ArgumentParser()
    parser.add_argument("loads", nargs="*", default=["64", "256", "1024", "200/s", "800/s"])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--parts", type=int, default=1)
    parser.add_argument("--first", action="store_true")
    asked = parser.parse_args()
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; TTFT: ms, mean and p99 less {TTFT_MS}")
    with mock_process("--ttft", f"{TTFT_MS}ms", "--itl", f"{ITL_MS}ms") as server:
        if asked.first:
            os.sched_setscheduler(server.pid, os.SCHED_FIFO, os.sched_param(10))
        for name in asked.loads:
            number, per_second = float(name.removesuffix("/s")), name.endswith("/s")
            load = LoadConfig(request_rate=number) if per_second else LoadConfig(concurrency=int(number))
            command = PreparePart(
                target=TargetConfig(kind="endpoint", url=server.url),
                load=load,
                workload=WorkloadConfig(input_len=16, output_len=TOKENS),
                api="openai-chat",
                model="mock",
            )
            found = asyncio.run(measure(server, command, seconds=asked.seconds, parts=asked.parts, first=asked.first))
            show(name, found, command, asked.parts)


if __name__ == "__main__":
    main()
