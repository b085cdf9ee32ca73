"""What only a load on an endpoint has, as text: rates, objectives, what was in flight, and what the client took."""

from collections.abc import Iterator

from infertui.measure.load.figures import ClientFigures, LoadFigures, StepFigures, TermFigures
from infertui.measure.statistics import Distribution, Interval
from infertui.metrics.metric import NOT_AVAILABLE
from infertui.results.result import Result
from infertui.results.setup import Setup
from infertui.targets.endpoint.seen import ServerSeen
from infertui.text import clean, one_line
from infertui.units import format_number, format_seconds

_NEAR = 0.01
"""Times from due and from sent that differ by less than this share are told once."""
_MOST_STEPS = 24
_SETTLED = {True: "settled", False: "NOT settled", None: "not known to have settled"}


def load_rows(result: Result) -> list[tuple[str, str]]:
    """Name and value of each; none of a run that is no load."""
    load = result.load
    if load is None:
        return []
    return [(name, clean(text)) for name, text in _rows(result, load) if text]


def level_text(setup: Setup) -> str:
    """How much was asked of an endpoint, at most or in the end."""
    rate, together = setup.request_rate, setup.concurrency
    most = f", at most {together} in flight" if together else ""
    if setup.get("load.trace"):
        return f"trace {one_line(setup.get('load.trace'), 60)}{most}"
    steps = f"in steps {one_line(setup.get('load.steps'), 40)}, in the end " if setup.get("load.steps") else ""
    return steps + (f"{format_number(rate)} req/s{most}" if rate else f"concurrency {together or NOT_AVAILABLE}")


def _rows(result: Result, load: LoadFigures) -> Iterator[tuple[str, str]]:
    yield "requests/s", _rate(load.request_throughput, load.request_throughput_interval)
    if load.terms:
        share = "" if load.attainment is None else f"  {_share(load.attainment)} of the requests"
        yield "goodput", _rate(load.goodput, load.goodput_interval) + share
        for term in load.terms:
            yield f"SLO {term.term}", _term(term, binding=len(load.terms) > 1 and term.term == load.binding)
    yield "TTFT from due", _from_due(load.ttft_due, result.summary.ttft)
    yield "E2E from due", _from_due(load.latency_due, result.summary.latency)
    yield "tok/s/user", "" if load.tps_user is None else f"p50 {format_number(load.tps_user.p50 or 0.0)}"
    yield "in flight", _in_flight(load)
    steps = str(result.setup.get("load.steps") or "").count(",")
    yield "window", _window(load) + (f"; of the last of {steps + 1} steps" if steps else "")
    if len(load.steps) > 1:
        for number, step in enumerate(load.steps[:_MOST_STEPS], start=1):
            yield f"step {number}", _step(step, by_rate=load.asked_rate is not None)
        more = len(load.steps) - _MOST_STEPS
        yield "steps", f"{more} more, which --json tells" if more > 0 else ""
    yield "failures", _failures(load)
    yield "tokens", _tokens(load)
    yield "client", _client(load.client) if load.client else ""
    yield "connections", _connections(load.client) if load.client else ""
    yield "server", _server(result.server) if result.server else ""


def _server(seen: ServerSeen) -> str:
    """What its own page said."""
    parts = []
    if seen.running_mean is not None:
        parts.append(f"{seen.running_mean:.1f} running")
    if seen.waiting_mean is not None and seen.waiting_max is not None:
        parts.append(f"{seen.waiting_mean:.1f} waiting (at most {seen.waiting_max:.0f})")
    if seen.kv_usage_max is not None:
        parts.append(f"KV cache up to {seen.kv_usage_max:.0%}")
    counted = seen.counted
    if counted is not None:
        hits = counted.prefix_hit_rate
        parts += [f"prefix hits {hits:.1%}"] if hits is not None else []
        parts += [f"{counted.preemptions:.0f} preemptions"] if counted.preemptions is not None else []
        means = (("TTFT", counted.ttft), ("ITL", counted.itl), ("queue", counted.queue))
        parts += [
            f"its {name} mean {format_seconds(mean)}"
            for name, span in means
            if span is not None and (mean := span.mean) is not None
        ]
        parts += ["restarted meanwhile"] if counted.restarted else []
    return ", ".join(parts)


def _failures(load: LoadFigures) -> str:
    later = {f"{kind} after the window": count for kind, count in load.failed_later.items()}
    return ", ".join(f"{count} {kind}" for kind, count in (load.errors | later).items())


def _rate(value: float | None, interval: Interval | None) -> str:
    if value is None:
        return ""
    bounds = "" if interval is None else f"  (95 %: {format_number(interval.low)} to {format_number(interval.high)})"
    return f"{format_number(value)} req/s{bounds}"


def _term(term: TermFigures, *, binding: bool) -> str:
    parts = []
    if term.value is not None and term.verdict is not None:
        bounds = ""
        if term.interval is not None:
            bounds = f" ({format_seconds(term.interval.low)} to {format_seconds(term.interval.high)})"
        parts.append(f"{term.verdict}: {format_seconds(term.value)}{bounds}")
    if term.attainment is not None:
        between = term.attainment_interval
        shown = "" if between is None else f" ({between.low:.1%} to {between.high:.1%})"
        parts.append(f"kept by {_share(term.attainment)}{shown}")
    parts += [f"{term.undetermined} undetermined"] if term.undetermined else []
    parts += ["binds"] if binding else []
    return ", ".join(parts)


def _share(share: float) -> str:
    """What is not all is never shown as all."""
    return f"{share if share == 1 else min(share, 0.999):.1%}"


def _from_due(due: Distribution | None, sent: Distribution | None) -> str:
    """Where it differs from that since they were sent, which the rows of every run tell."""
    if due is None or sent is None or due.mean is None or sent.mean is None:
        return ""
    if abs(due.mean - sent.mean) <= _NEAR * sent.mean:
        return ""
    shown = [f"mean {format_seconds(due.mean)}"]
    shown += [f"p50 {format_seconds(due.p50)}"] if due.p50 is not None else []
    shown += [f"p99 {format_seconds(due.p99)}"] if due.p99 is not None and "p99" in due.supported else []
    return "  ".join(shown)


def _in_flight(load: LoadFigures) -> str:
    if load.in_flight is None:
        return ""
    asked = f" of {load.asked_concurrency}" if load.asked_concurrency is not None and load.asked_rate is None else ""
    rate = ""
    if load.asked_rate is not None and load.offered_rate is not None:
        rate = f"  {format_number(load.offered_rate)} of {format_number(load.asked_rate)} req/s sent"
    little = "" if load.littles_ratio is None else f"  Little's law {load.littles_ratio:.3f}"
    return f"{load.in_flight:.1f}{asked}{rate}{little}"


def _window(load: LoadFigures) -> str:
    word = _SETTLED[load.steadiness.steady]
    reason = f": {load.steadiness.reason}" if load.steadiness.reason else ""
    window = load.window
    seconds = f"{format_seconds(window.seconds)}, from {format_seconds(window.start)} to {format_seconds(window.end)}"
    return f"{seconds}, {word}{reason}"


def _step(step: StepFigures, *, by_rate: bool) -> str:
    """Its level, what was answered, how long that took, and whether it had settled."""
    level = f"{format_number(step.level)} req/s" if by_rate else f"concurrency {step.level:g}"
    parts = [level, f"{step.requests or 0:,} answered" + (f", {step.failed:,} of them failed" if step.failed else "")]
    parts += [f"{format_number(step.request_throughput)} req/s"] if step.request_throughput is not None else []
    parts += [f"{format_number(step.output_throughput)} tok/s"] if step.output_throughput is not None else []
    times = (("TTFT", step.ttft), ("TPOT", step.tpot), ("E2E", step.latency))
    parts += [f"{name} p50 {format_seconds(one.p50)}" for name, one in times if one is not None and one.p50 is not None]
    parts += [f"goodput {format_number(step.goodput)} req/s"] if step.goodput is not None else []
    window = f"{format_seconds(step.window.start)} to {format_seconds(step.window.end)}"
    return ", ".join([*parts, f"{window} {_SETTLED[step.steadiness.steady]}"])


def _tokens(load: LoadFigures) -> str:
    parts = [f"{count:,} counted by {'the ' if who == 'server' else ''}{who}" for who, count in load.counted.items()]
    parts += [f"{load.local_ratio:.3f} as many by the tokenizer here"] if load.local_ratio is not None else []
    parts += [f"{load.cached_share:.1%} of the prompts cached"] if load.cached_share is not None else []
    parts += [f"{load.reasoning_share:.1%} reasoning"] if load.reasoning_share else []
    return ", ".join(parts)


def _connections(client: ClientFigures) -> str:
    """Where requests waited for one, or were sent twice."""
    parts = [f"{client.connections:,} opened"] if client.connections else []
    if client.connect_p99:
        parts.append(f"requests waited {format_seconds(client.connect_p99)} for one (p99)")
    if client.retried:
        parts.append(f"the server closed {client.retried:,} as requests came: sent again")
    return ", ".join(parts) if client.connect_p99 or client.retried else ""


def _client(client: ClientFigures) -> str:
    several = f"{client.processes} processes, " if client.processes > 1 else ""
    parts = [f"{several}{client.cpu:.2f} core"] if client.cpu is not None else []
    if client.lag_p99 is not None and client.lag_max is not None:
        parts.append(f"loop late by {format_seconds(client.lag_p99)} (p99), {format_seconds(client.lag_max)} (max)")
    if client.late_p99 is not None:
        parts.append(f"sent {format_seconds(client.late_p99)} late (p99)")
    return ", ".join(parts)
