"""How each figure of a report is defined."""

from infertui.report.document import Bullets, Section


def method() -> Section:
    """In short sentences, for whoever did not measure."""
    return Section("method", "How the figures are defined", (Bullets(_NOTES),))


_NOTES = (
    "Output throughput: generated tokens over the summed wall time of the measured iterations (static batches, each "
    "from handing it over to the synchronised end). Warm-up, loading, compiling and what lies between do not count.",
    "Its 95 % interval: Student's over iterations, of the ratio's logarithm, and wider where iterations depend on "
    "those before them, which can be seen from 10 on. The requests of one batch share the machine's state, so a "
    "batch is one observation.",
    "TTFT: from handing the batch over to its first token. E2E: to its last token. TPOT: (last - first) over the "
    "tokens after the first. ITL: each gap between token steps.",
    "Comparisons: the signed change from one figure to the other, second / first - 1, with its 95 % interval. Equal: "
    "the whole interval lies within the band that is named. Unclear: it holds 0 and reaches beyond the band, so that "
    "nothing was found, which is not the same as there being nothing.",
    "Energy: the driver's counter over the measured window, else power samples integrated over it; it is the whole "
    "device's. Above idle: less what the device drew at rest before the run, over the same window.",
    "MBU: bytes of weights and KV cache that a decode step has to read, over the step's time and the memory bandwidth "
    "of the device, as calibrated, measured or of the datasheet; which one stands with the run.",
    "Memory: what the driver says the worker's processes hold, else the allocator's peak, else a CPU's resident set.",
    "Valid: everything asked for was done, and nothing that disturbs was seen in the measured window. Thresholds are "
    "in each run's config, [validity].",
    "Marks: synthetic means random weights in a real architecture: its speed is meant, its text means nothing. "
    "Fallback: another engine ran than was asked for. Imported, external: measured by another program.",
    "n/a: not available. It is never shown as zero, and never counted as one.",
    "Every chart and table names the ids of its runs; a run's folder holds its config (run.toml repeats it), every "
    "request and every sample.",
)
