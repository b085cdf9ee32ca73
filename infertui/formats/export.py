"""A result in the JSON that `vllm bench serve --save-result --save-detailed` writes, field by field.

Times of distributions are in milliseconds, their deviations those of the population; single requests are in seconds.
What a run of infertui does not have is null, as are the tokenizer, goodput and the arrival process (of an imported run
they are as its file tells them), or left out, as the texts and the gaps of single requests. All requests of a batch are
handed over at once: the request rate is `inf`, as vLLM writes it, and `max_concurrency` the batch size. Of a load on an
endpoint there is what was asked for, and its requests are those of its window. Keys that begin with `infertui_` stand
where the form allows metadata.
"""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import infertui
from infertui.formats.vllm_serve import EXPORTED
from infertui.integers import whole_number
from infertui.measure.itl import Gaps
from infertui.measure.load.columns import ABORTED
from infertui.measure.records import RequestRecord
from infertui.measure.statistics import Distribution
from infertui.results.result import Result
from infertui.results.setup import Setup


def document(result: Result, records: Iterable[RequestRecord]) -> dict[str, object]:
    """The object of one run. `records` are its request lines; without any, figures are those of the summary."""
    requests = [record for record in records if _counts(result, record)]
    good = [record for record in requests if not record.error]
    summary = result.summary
    completed, seconds, output = summary.good, summary.measured_s or None, summary.output_tokens
    return {
        **_setup(result),
        "duration": seconds,
        "completed": completed,
        "failed": summary.failed,
        "total_input_tokens": summary.prompt_tokens,
        "total_output_tokens": output,
        "request_throughput": None if completed is None or seconds is None else completed / seconds,
        "request_goodput": result.load.goodput if result.load else _number(_asked(result).get("goodput", "")),
        "output_throughput": summary.output_throughput,
        "total_token_throughput": summary.total_throughput,
        **_figure("ttft", summary.ttft, [record.ttft for record in good]),
        **_figure("tpot", summary.tpot, [record.tpot for record in good]),
        **_gaps(summary.itl, 0 if output is None or completed is None else output - completed),
        **_figure("e2el", summary.latency, [record.latency for record in good]),
        **_detailed(requests),
        **_ours(result),
    }


def _counts(result: Result, record: RequestRecord) -> bool:
    """Whether a request is one of those that the figures are of."""
    if result.load is None or record.end is None:
        return True
    window = result.load.window
    return record.error_kind != ABORTED and window.start < record.end <= window.end


def _setup(result: Result) -> dict[str, object]:
    engine = result.loaded.engine if result.loaded else result.setup.target.name
    asked, setup = _asked(result), result.setup
    batch = setup.concurrency if setup.is_endpoint else setup.batch_size
    rate: object = _rate(asked.get("request_rate", "")) if result.imported else setup.request_rate or "inf"
    bursts = _number(asked.get("burstiness", "")) if result.imported or not setup.request_rate else _burstiness(setup)
    together = asked.get("max_concurrency") or asked.get("concurrency") or ""
    return {
        "date": _date(result.started),
        "endpoint_type": engine,
        "backend": asked.get("backend") or engine,
        "label": result.name,
        "model_id": result.setup.model,
        "tokenizer_id": asked.get("tokenizer") or None,
        "num_prompts": result.summary.requests,
        "request_rate": rate,
        "burstiness": bursts,
        "max_concurrency": batch if (known := whole_number(together)) is None else known,
    }


def _burstiness(setup: Setup) -> float | None:
    """The shape of gamma arrivals, of which Poisson ones are a kind; of even ones it has no bound."""
    shape = setup.get("load.burstiness")
    return float(shape) if setup.get("load.arrival") != "constant" and isinstance(shape, int | float) else None


def _ours(result: Result) -> dict[str, object]:
    loaded = result.loaded
    return {
        "infertui_run_id": result.id,
        EXPORTED: infertui.__version__,
        "infertui_source": result.source or f"infertui {result.fingerprint.infertui}",
        "infertui_state": result.state,
        "infertui_valid": result.verdict.valid and result.state == "finished",
        "infertui_invalid": list(result.verdict.invalid),
        "infertui_engine": loaded.engine if loaded else result.setup.target.name,
        "infertui_device": loaded.device_name if loaded else "",
        "infertui_dtype": loaded.dtype if loaded else "",
        "infertui_random_weights": loaded.random_weights if loaded else None,
    }


def _detailed(requests: Sequence[RequestRecord]) -> dict[str, object]:
    """The arrays of --save-detailed, an entry for each request, as far as all requests have it."""
    arrays: dict[str, list[object]] = {
        "input_lens": [record.prompt_tokens for record in requests],
        "output_lens": [0 if record.error else record.tokens for record in requests],
        "ttfts": [0.0 if record.error else record.ttft for record in requests],
        "latencies": [0.0 if record.error else record.latency for record in requests],
        "start_times": [record.start for record in requests],
        "errors": [record.error for record in requests],
        "infertui_batches": [record.batch for record in requests],
        "infertui_batch_seconds": [record.batch_seconds for record in requests],
    }
    return {name: values for name, values in arrays.items() if values and None not in values}


def _figure(name: str, known: Distribution | None, values: Sequence[float | None]) -> dict[str, float | None]:
    """Mean, median, deviation and 99th percentile of a time, in milliseconds."""
    if known is None:
        return dict.fromkeys(f"{what}_{name}_ms" for what in ("mean", "median", "std", "p99"))
    single = [value for value in values if value is not None]
    if single:
        std: float | None = statistics.pstdev(single)
    else:  # the sample's to the population's, over as many observations as it was taken of
        std = 0.0 if known.n == 1 and known.std is None else known.std
        if std is not None and known.n > 1:
            std *= math.sqrt((known.n - 1) / known.n)
    return {
        f"mean_{name}_ms": None if known.mean is None else known.mean * 1000,
        f"median_{name}_ms": None if known.median is None else known.median * 1000,
        f"std_{name}_ms": None if std is None else std * 1000,
        f"p99_{name}_ms": None if known.p99 is None else known.p99 * 1000,
    }


def _gaps(gaps: Gaps | None, count: int) -> dict[str, float | None]:
    """Our own gaps are a histogram, which tells no deviation; `count` gaps had the one that a file told."""
    std = None if gaps is None else gaps.std
    if std is not None and count > 1:
        std *= math.sqrt((count - 1) / count)
    told = {"mean": gaps.mean, "median": gaps.p50, "std": std, "p99": gaps.p99} if gaps else {}
    return {
        f"{name}_itl_ms": None if (value := told.get(name)) is None else value * 1000
        for name in ("mean", "median", "std", "p99")
    }


def _asked(result: Result) -> Mapping[str, str]:
    """What the file that it was imported from tells besides, by the names that are shown."""
    return result.loaded.details if result.imported and result.loaded else {}


def _number(text: str) -> float | None:
    try:
        found = float(text)
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def _rate(text: str) -> float | str | None:
    """A request rate as vLLM writes it: a number, or `inf` for all at once; null where it is not known."""
    return "inf" if text == "inf" else _number(text)


def _date(started: str) -> str | None:
    try:
        return datetime.fromisoformat(started).strftime("%Y%m%d-%H%M%S")
    except ValueError:
        return None
