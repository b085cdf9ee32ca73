"""What the arithmetic of a model asks of a device at least: bytes of a decode step, operations of prefill and step.

A decode step reads every weight once for the whole batch, and the keys and values of each sequence so far. At small
batches that, not arithmetic, bounds its time: the bytes over the bandwidth are the least that a step can take. Prefill
multiplies every prompt token with every matrix: there the operations over the matrix rate are the least.

With them: what a device can do at most, as measured on it, and how near a run came.
"""

from typing import Literal

from msgspec import Struct, field

from infertui.integers import Whole


class DecodeReads(Struct, frozen=True):
    """What a decode step has to read at least, in bytes: weights once, a sequence's KV cache for each sequence."""

    weights: float
    kv_per_token: int
    batch_size: int
    context: float
    """Mean number of tokens that a sequence attends to while it is decoded."""
    state: int = 0
    """Bytes of a sequence's states, which do not grow with it."""

    @property
    def kv(self) -> float:
        """Bytes of all sequences' keys, values and states."""
        return (self.kv_per_token * self.context + self.state) * self.batch_size

    @property
    def bytes(self) -> float:
        """Bytes of a step."""
        return self.weights + self.kv

    def limit(self, bandwidth: float) -> float:
        """The most tokens per second, all sequences together, at `bandwidth` bytes per second."""
        return self.batch_size * bandwidth / self.bytes

    def share(self, step_s: float, bandwidth: float) -> float:
        """MBU, memory bandwidth utilisation: the bytes of a step over its time, as a share of `bandwidth`."""
        return self.bytes / step_s / bandwidth


class Arithmetic(Struct, frozen=True):
    """The products that a forward pass of a decoder consists of, biases, norms and activations left out.

    `layer_parameters` are the weights of all layers' matrices that one token is multiplied with (of a mixture of
    experts: the experts that it passes through), `head_parameters` those of the output layer. `attention_width` is
    heads x head_dim: in grouped-query attention every query head still has its own scores. `sliding_layers` of the
    `layers` attend to the last `window` tokens alone.
    """

    layer_parameters: int
    head_parameters: int
    layers: int
    attention_width: int
    sliding_layers: int = 0
    window: int | None = None

    def prefill(self, prompt_tokens: float) -> float:
        """Operations to prefill one sequence of n tokens, a multiplication and an addition counting as two.

        2 x layer parameters x n, plus attention, 4 x layers x heads x head_dim x n^2 / 2: 2 operations for the scores
        and 2 for the weighted values, each over the n^2 / 2 pairs that causal masking leaves; plus 2 x head
        parameters, since of a prompt the last position's logits alone are needed. That is the forward part of the
        count in Kaplan et al. 2020 ("Scaling Laws for Neural Language Models", table 1) and in appendix B of the PaLM
        paper (Chowdhery et al. 2022), which does not halve for the mask.
        """
        pairs = (self.layers - self.sliding_layers) * prompt_tokens**2 / 2
        reach = min(prompt_tokens, self.window or prompt_tokens)
        pairs += self.sliding_layers * (prompt_tokens * reach - reach**2 / 2)
        return 2 * self.layer_parameters * prompt_tokens + 4 * self.attention_width * pairs + 2 * self.head_parameters

    def step(self, prompt_tokens: float, output_tokens: float) -> float:
        """Operations of one decode step of one sequence, on average over the steps that follow a prompt."""
        reach = mean_attended(prompt_tokens, output_tokens, self.window or 0)
        context = mean_attended(prompt_tokens, output_tokens)
        attended = (self.layers - self.sliding_layers) * context + self.sliding_layers * reach
        return 2 * (self.layer_parameters + self.head_parameters) + 4 * self.attention_width * attended


class Experts(Struct, frozen=True):
    """A mixture of experts: `count` experts in a layer, of which a token passes through `active`.

    `parameters` are the model's, `active_parameters` those that one token passes through.
    """

    count: int
    active: int
    parameters: int
    active_parameters: int

    def touched(self, batch_size: int) -> float:
        """Experts of a layer that a step of so many sequences reads, where each token draws its experts evenly.

        Each expert is missed by all sequences with probability (1 - active / count)^batch_size.
        """
        return self.count * (1 - (1 - self.active / self.count) ** batch_size)

    def share_read(self, batch_size: int) -> float:
        """Share of all weights that a step reads: what is outside the experts, and the experts that it touches."""
        if self.count <= self.active:
            return 1.0
        idle = (self.count - self.touched(batch_size)) / (self.count - self.active)
        return 1 - idle * (self.parameters - self.active_parameters) / self.parameters


def mean_attended(prompt_tokens: float, output_tokens: float, window: int = 0) -> float:
    """Tokens that a step attends to on average: the prompt and half of the output; in a layer with a `window` the mean
    of the lesser of context and window, which is less than the lesser of context's mean and window."""
    end = prompt_tokens + output_tokens
    if not window or end <= window:
        return prompt_tokens + output_tokens / 2
    if prompt_tokens >= window:
        return float(window)
    growing = window - prompt_tokens
    return (growing * (prompt_tokens + window) / 2 + (end - window) * window) / output_tokens


FORMATS = ("float32", "tf32", "float16", "bfloat16", "float8", "int8")
"""Number formats of a matrix product, in the order in which they are measured and shown."""
COPY = "copy"
"""What the copy is called among the figures of a calibration."""


class DevicePeaks(Struct, frozen=True):
    """Rates that a device reached in calibration; None is not measured.

    `copy_bandwidth` counts bytes read plus bytes written, per second; `matrix_rates` are floating-point (or integer)
    operations per second of a large matrix product by number format, a multiplication and an addition counting as two.
    Each is the best of several; `spreads` says by how much of it the median was slower, `sizes` what was computed, by
    `copy` and format. `reasons` says why a format was not measured. `disturbed` holds what speaks against the figures,
    `notes` what a reader should know.
    """

    device: str
    """As the driver, or the CPU, names itself."""
    driver: str
    copy_bandwidth: float
    matrix_rates: dict[str, float]
    measured: str
    """When, ISO 8601 with offset."""
    software: str = ""
    """What ran it, as in `torch 2.11.0+cu130`."""
    threads: Whole | None = None
    """CPU threads; None on a GPU."""
    uuid: str = ""
    """Of a GPU."""
    copy_by_clock: float | None = None
    """The copy's best by the host's clock, on a GPU, where `copy_bandwidth` is by the device's own events."""
    spreads: dict[str, float] = {}
    sizes: dict[str, str] = {}
    reasons: dict[str, str] = {}
    disturbed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    quick: bool = False
    seconds: float | None = None
    """How long it took."""

    @property
    def words(self) -> str:
        """The device in words: its name, and how many threads of a CPU."""
        return self.device if self.threads is None else f"{self.device}, {self.threads} threads"


Source = Literal["calibrated", "measured", "datasheet"]
"""Of a ceiling: by `infertui calibrate` on this very device, on another of its kind, or by its maker."""
Bound = Literal[
    "memory bandwidth", "compute", "kernel efficiency", "launch overhead", "host", "KV capacity", "client", "unknown"
]  # fmt: skip
"""`kernel efficiency`: the GPU ran all the time, and came near no ceiling: its kernels are too short or too slow."""


class Limits(Struct, frozen=True):
    """Shares of the device's ceilings; None is not available, and `reasons` says why, by field.

    `mbu` is decode's bytes a step over step time and memory bandwidth (bytes/s), `decode_limit` the output tokens per
    second at a share of 1. `mfu` is prefill's operations over its time and the matrix rate (operations/s). Of a run on
    several GPUs the ceilings are those of all together.
    """

    bandwidth: float | None = None
    bandwidth_source: Source | None = None
    mbu: float | None = None
    decode_limit: float | None = None
    matrix_rate: float | None = None
    matrix_source: Source | None = None
    mfu: float | None = None
    bound: Bound = "unknown"
    why: str = ""
    """What tells that it is bound by that, in words with figures."""
    next_step: str = field(name="knob", default="")
    """What to try next."""
    step_s: float | None = None
    """Mean time of a decode step."""
    step_weights: float | None = None
    """Bytes of weights that a step reads."""
    step_kv: float | None = None
    """Bytes of keys and values that a step reads, of all sequences."""
    step_operations: float | None = None
    """Operations of a step, of all sequences."""
    prefill_s: float | None = None
    """Mean time until every sequence of a batch had its first token."""
    prefill_operations: float | None = None
    """Operations of a batch's prefill."""
    matrix_format: str = ""
    """The number format whose matrix rate `mfu` refers to."""
    reasons: dict[str, str] = {}
