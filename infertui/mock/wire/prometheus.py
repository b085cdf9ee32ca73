"""/metrics under vLLM's names, in the text format of Prometheus."""

from math import inf
from typing import TYPE_CHECKING

from infertui.mock.tallies import Histogram

if TYPE_CHECKING:
    from infertui.mock.server import MockHost

_LABELS = 'engine="0",model_name="mock"'
_REASONS = ("stop", "length", "abort", "error")


def prometheus(host: "MockHost") -> bytes:
    """The page."""
    tallies, floor, cache = host.tallies, host.serving.floor, host.serving.cache
    lines = ["# infertui mock server: no model is run"]
    gauges: tuple[tuple[str, str, str, float], ...] = (
        ("num_requests_running", "Number of requests in model execution batches.", "gauge", len(floor.running)),
        ("num_requests_waiting", "Number of requests waiting to be processed.", "gauge", len(floor.waiting)),
        (
            "kv_cache_usage_perc",
            "KV-cache usage. 1 means 100 percent usage.",
            "gauge",
            min(floor.blocks / host.options.kv_blocks, 1.0),
        ),
        (
            "prefix_cache_queries_total",
            "Prefix cache queries, in terms of number of queried tokens.",
            "counter",
            cache.queried,
        ),
        ("prefix_cache_hits_total", "Prefix cache hits, in terms of number of cached tokens.", "counter", cache.hit),
        ("num_preemptions_total", "Cumulative number of preemption from the engine.", "counter", 0),
        ("prompt_tokens_total", "Number of prefill tokens processed.", "counter", tallies.prompt_tokens),
        ("generation_tokens_total", "Number of generation tokens processed.", "counter", tallies.output_tokens),
    )
    for name, help_text, kind, value in gauges:
        family = f"vllm:{name}"
        lines += [f"# HELP {family} {help_text}", f"# TYPE {family} {kind}", f"{family}{{{_LABELS}}} {float(value)}"]
    family = "vllm:request_success_total"
    lines += [f"# HELP {family} Count of successfully processed requests.", f"# TYPE {family} counter"]
    for reason in _REASONS:
        lines.append(f'{family}{{{_LABELS},finished_reason="{reason}"}} {float(tallies.finished.get(reason, 0))}')
    histograms: tuple[tuple[str, str, Histogram], ...] = (
        ("time_to_first_token_seconds", "Histogram of time to first token in seconds.", tallies.ttft),
        ("inter_token_latency_seconds", "Histogram of inter-token latency in seconds.", tallies.itl),
        ("e2e_request_latency_seconds", "Histogram of e2e request latency in seconds.", tallies.e2e),
        ("request_queue_time_seconds", "Histogram of time spent in WAITING phase for request.", tallies.queue),
    )
    for name, help_text, histogram in histograms:
        lines += _histogram(f"vllm:{name}", help_text, histogram)
    return ("\n".join(lines) + "\n").encode()


def _histogram(family: str, help_text: str, histogram: Histogram) -> list[str]:
    lines, below = [f"# HELP {family} {help_text}", f"# TYPE {family} histogram"], 0
    for bound, count in zip((*map(float, histogram.bounds), inf), histogram.counts, strict=True):
        below += count
        told = "+Inf" if bound == inf else str(bound)
        lines.append(f'{family}_bucket{{{_LABELS},le="{told}"}} {float(below)}')
    return [*lines, f"{family}_count{{{_LABELS}}} {float(below)}", f"{family}_sum{{{_LABELS}}} {histogram.total!r}"]
