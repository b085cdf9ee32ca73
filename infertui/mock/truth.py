"""What a client has to find: closed forms of the mock's times under a closed loop, as its options give them.

With c requests in flight, each followed by the next without pause, S slots, n output tokens and u uncached prompt
tokens:

    running          r = min(c, S)
    ITL(r)           = itl + per_stream x (r - 1)
    service          s = ttft + u / prefill_rate + (n - 1) x ITL(r)
    throughput       X = r / s                      requests a second
    wait for a slot  W = (c - r) x s / r            mean, by Little's law: c = X x (W + s)
    TTFT             = W + ttft + u / prefill_rate  mean

An open loop is stable below S / s(S); with one slot and Poisson arrivals at a rate of l the mean wait is that of M/D/1,
l x s^2 / (2 x (1 - l x s)).
"""

from math import floor, inf

from msgspec import Struct

from infertui.mock.options import MockOptions


class LoadTruth(Struct, frozen=True):
    """Means under a closed loop: seconds, requests a second, output tokens a second."""

    concurrency: int
    ttft_s: float
    itl_s: float
    e2e_s: float
    wait_s: float
    requests_per_s: float
    tokens_per_s: float


def closed_loop(options: MockOptions, concurrency: int, *, output_tokens: int, uncached_tokens: int = 0) -> LoadTruth:
    """The truth at a concurrency of 1 or more."""
    running = min(concurrency, options.slots or concurrency)
    itl_s = options.itl_s + options.itl_per_stream_s * (running - 1)
    first_s = options.ttft_s + (uncached_tokens / options.prefill_rate if options.prefill_rate else 0.0)
    service_s = first_s + max(output_tokens - 1, 0) * itl_s
    rate = running / service_s if service_s else inf
    wait_s = (concurrency - running) * service_s / running
    return LoadTruth(
        concurrency=concurrency,
        ttft_s=wait_s + first_s,
        itl_s=itl_s,
        e2e_s=wait_s + service_s,
        wait_s=wait_s,
        requests_per_s=rate,
        tokens_per_s=rate * output_tokens,
    )


def capacity(
    options: MockOptions,
    *,
    output_tokens: int,
    uncached_tokens: int = 0,
    ttft_slo_s: float | None = None,
    itl_slo_s: float | None = None,
) -> int | None:
    """The highest concurrency at which mean TTFT and ITL keep to their limits; 0: none does, None: all do.

    ITL: c <= 1 + (limit - itl) / per_stream, or no bound beyond the slots. TTFT: c <= S + S x (limit - first) / s(S).
    """

    def keeps(concurrency: int) -> bool:
        truth = closed_loop(options, concurrency, output_tokens=output_tokens, uncached_tokens=uncached_tokens)
        # A billionth of slack: sums of floats at the very limit keep to it.
        return (ttft_slo_s is None or truth.ttft_s <= ttft_slo_s * (1 + 1e-9)) and (
            itl_slo_s is None or truth.itl_s <= itl_slo_s * (1 + 1e-9)
        )

    if not keeps(1):
        return 0
    bounds = []
    if itl_slo_s is not None and options.itl_per_stream_s:
        most = 1 + floor((itl_slo_s - options.itl_s) / options.itl_per_stream_s * (1 + 1e-12) + 1e-9)
        if not options.slots or most < options.slots:
            bounds.append(most)
    if ttft_slo_s is not None and options.slots:
        full = closed_loop(options, options.slots, output_tokens=output_tokens, uncached_tokens=uncached_tokens)
        room = (ttft_slo_s - full.ttft_s) * options.slots / full.e2e_s if full.e2e_s else inf
        bounds.append(options.slots + floor(room + 1e-9) if room != inf else options.slots)
    return min(bounds) if bounds else None


def describe(
    options: MockOptions, *, ttft_slo_s: float | None = None, itl_slo_s: float | None = None, uncached_tokens: int = 0
) -> str:
    """The truth in words and a table."""
    tokens = options.osl or 64
    lines = [
        "A mock: no model is run, and what it answers means nothing. Its times are known:",
        f"TTFT {_ms(options.ttft_s)}, ITL {_ms(options.itl_s)}"
        + (f" + {_ms(options.itl_per_stream_s)} for each other request that runs" if options.itl_per_stream_s else "")
        + f", {options.slots or 'any number of'} slots"
        + (f", prefill {options.prefill_rate:g} uncached tokens/s on top of TTFT" if options.prefill_rate else ""),
        f"Dressing: {', '.join(options.dressings) or 'plain'}. Faults: {', '.join(options.faults) or 'none'}.",
        "",
        f"Closed loop, {tokens} output tokens, {uncached_tokens} uncached prompt tokens:",
        "   c      TTFT       ITL        E2E        wait       req/s      tok/s",
    ]
    slots = options.slots or 64
    for concurrency in sorted({1, 2, 4, 16, slots // 2 or 1, slots, slots * 2, slots * 4}):
        truth = closed_loop(options, concurrency, output_tokens=tokens, uncached_tokens=uncached_tokens)
        lines.append(
            f"{truth.concurrency:>5}  {_ms(truth.ttft_s):>9}  {_ms(truth.itl_s):>9}  {_ms(truth.e2e_s):>10}  "
            f"{_ms(truth.wait_s):>10}  {truth.requests_per_s:>8.3f}  {truth.tokens_per_s:>9.2f}"
        )
    if ttft_slo_s is not None or itl_slo_s is not None:
        found = capacity(
            options, output_tokens=tokens, uncached_tokens=uncached_tokens, ttft_slo_s=ttft_slo_s, itl_slo_s=itl_slo_s
        )
        limits = [f"mean TTFT <= {_ms(ttft_slo_s)}"] if ttft_slo_s is not None else []
        limits += [f"ITL <= {_ms(itl_slo_s)}"] if itl_slo_s is not None else []
        lines.append(f"Capacity under {', '.join(limits)}: {'no bound' if found is None else f'c = {found}'}")
    service = closed_loop(options, slots, output_tokens=tokens, uncached_tokens=uncached_tokens)
    if options.slots:
        lines.append(f"An open loop is stable below {service.requests_per_s:.3f} req/s.")
    lines += ["", *(line.removeprefix("    ") for line in (__doc__ or "").splitlines()[2:])]
    return "\n".join(lines).rstrip() + "\n"


def _ms(value: float) -> str:
    return f"{value * 1000:.3f} ms"
