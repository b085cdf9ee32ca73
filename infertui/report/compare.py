"""Two runs side by side: what differs between them, how their figures differ, and how sure that is."""

from collections.abc import Callable, Iterator, Sequence

from msgspec import Struct

from infertui.config.decode import flat_values
from infertui.config.fields import FIELDS
from infertui.measure.comparison import Better, Ratio, Totals, ratio
from infertui.report.identity import caveats, in_force
from infertui.store.observations import Observation
from infertui.store.result import Result
from infertui.terminal_text import clean
from infertui.units import format_bytes, format_number, format_seconds

_LEVERS = ("dtype", "mode", "attention", "quantization", "speculation", "tensor_parallel")


class Difference(Struct, frozen=True):
    """Something that is not the same in both runs."""

    what: str
    first: str
    second: str


class Figure(Struct, frozen=True):
    """One quantity of both runs. `better` says which way is better; `ratio` is the second over the first."""

    name: str
    first: float | None
    second: float | None
    better: Better
    ratio: Ratio | None
    show: str
    """How its values are written: `seconds`, `bytes` or `number`."""

    def text(self, value: float | None) -> str:
        """A value as people read it."""
        return "n/a" if value is None else _WAYS[self.show](value)

    @property
    def verdict(self) -> str:
        """In words, with the interval."""
        found = self.ratio
        if found is None:
            return "n/a"
        if self.show == "bytes":  # a peak, one a run
            return f"{found.value:.2f}x"
        if found.interval is None:
            return f"{found.value:.2f}x, too few iterations to say how sure"
        if not found.differs:
            return f"no difference: {_span(found.value, found.interval.low, found.interval.high)}"
        better = (found.value > 1) == (self.better == "higher")
        value, low, high = found.value, found.interval.low, found.interval.high
        if value < 1:
            value, low, high = 1 / value, 1 / high, 1 / low
        energy = self.show == "number" and self.better == "lower"
        word = ("less" if better else "more") if energy else "faster" if better else "slower"
        return f"{_times(value)} {word}, {_span_only(low, high)}"


class Comparison(Struct, frozen=True):
    """What a reader needs, in reading order: what differs, what makes the runs unlike, and the figures.

    Energy is each batch's share by power samples, which is what repeats; a result's own figure is the counter's.
    """

    first: str
    second: str
    differences: tuple[Difference, ...]
    unlike: tuple[str, ...]
    figures: tuple[Figure, ...]


def compare(first: Result, second: Result, observed: tuple[Sequence[Observation], Sequence[Observation]]) -> Comparison:
    """The second run against the first, from their results and measured batches."""
    return Comparison(
        clean(first.id),
        clean(second.id),
        tuple(_differences(first, second)),
        tuple(_unlike(first, second)),
        tuple(_figures(first, second, observed)),
    )


def _figures(
    first: Result, second: Result, observed: tuple[Sequence[Observation], Sequence[Observation]]
) -> Iterator[Figure]:
    def figure(name: str, read: Callable[[Sequence[Observation]], Totals], better: Better, show: str) -> Figure:
        sides = [read(side) for side in observed]
        values = [side.value if side.numerators else None for side in sides]
        return Figure(name, values[0], values[1], better, ratio(*sides), show)

    yield figure("throughput, tok/s", _throughput, "higher", "number")
    yield figure("E2E latency", _mean(lambda one: one.latency), "lower", "seconds")
    yield figure("TTFT", _mean(lambda one: one.ttft), "lower", "seconds")
    yield figure("TPOT", _mean(lambda one: one.tpot), "lower", "seconds")
    yield figure("energy, J/token", _energy, "lower", "number")
    memory = [_vram(result) for result in (first, second)]
    known = ratio(*(Totals.mean_of([] if value is None else [value]) for value in memory))
    yield Figure("memory", memory[0], memory[1], "lower", known, "bytes")


def _throughput(observed: Sequence[Observation]) -> Totals:
    timed = [(one.tokens, one.seconds) for one in observed if one.seconds]
    return Totals(tuple(float(tokens) for tokens, _ in timed), tuple(seconds for _, seconds in timed))


def _energy(observed: Sequence[Observation]) -> Totals:
    known = [(one.energy_j, one.tokens) for one in observed if one.energy_j is not None and one.tokens]
    return Totals(tuple(energy for energy, _ in known), tuple(float(tokens) for _, tokens in known))


def _mean(read: Callable[[Observation], float | None]) -> Callable[[Sequence[Observation]], Totals]:
    return lambda observed: Totals.mean_of([value for one in observed if (value := read(one)) is not None])


def _vram(result: Result) -> float | None:
    device, memory = result.device, result.summary.memory
    if device is not None and device.vram_process is not None:
        return device.vram_process
    return memory.allocated_peak if memory.allocated_peak is not None else memory.resident_peak


def _differences(first: Result, second: Result) -> Iterator[Difference]:
    ours, theirs = flat_values(first.config), flat_values(second.config)
    for path in FIELDS:
        if path in ours and ours[path] != theirs.get(path):
            yield Difference(path, clean(str(ours[path])), clean(str(theirs.get(path))))
    for name, read in _ENVIRONMENT.items():
        one, other = read(first), read(second)
        if one != other:
            yield Difference(name, clean(one) or "n/a", clean(other) or "n/a")


def _libraries(result: Result) -> str:
    versions = result.loaded.versions if result.loaded else {}
    return ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))


_ENVIRONMENT: dict[str, Callable[[Result], str]] = {
    "engine that ran": lambda result: result.loaded.engine if result.loaded else "",
    **{
        f"{lever} in force": (lambda result, lever=lever: in_force(result, lever))  # type: ignore[misc]
        for lever in _LEVERS
    },
    "device": lambda result: result.loaded.device_name if result.loaded else "",
    "driver": lambda result: result.fingerprint.driver,
    "host CPU": lambda result: result.fingerprint.host.cpu_model or "",
    "libraries": _libraries,
    "infertui": lambda result: f"{result.fingerprint.infertui} {result.fingerprint.git_revision}".strip(),
}


def _unlike(first: Result, second: Result) -> Iterator[str]:
    """Why the two are not the same measurement with another setting."""
    sides = (first, second)
    for result in sides:
        for mark in caveats(result):
            yield f"{clean(result.id)} is a {mark}" if mark.startswith("fallback") else f"{clean(result.id)}: {mark}"
        if result.state != "finished":
            yield f"{clean(result.id)} is {result.state}"
        for reason in result.verdict.invalid:
            yield f"{clean(result.id)} is invalid: {clean(reason)}"
        throttles = [name for name in (result.device.throttles or ()) if name != "power-cap"] if result.device else []
        if throttles:
            yield f"{clean(result.id)} was throttled: {clean(', '.join(throttles))}"
    checks: list[tuple[str, Callable[[Result], object]]] = [
        ("models", lambda result: (result.config.model.id, result.config.model.revision)),
        ("devices", lambda result: result.loaded.device_name if result.loaded else ""),
        ("number formats", lambda result: result.loaded.dtype if result.loaded else ""),
        ("prompts", _prompts),
        ("output lengths", lambda result: result.config.workload.output_len),
        ("batch sizes", lambda result: result.config.workload.batch_size),
        ("drivers", lambda result: result.fingerprint.driver),
    ]
    for what, read in checks:
        if read(first) != read(second):
            yield f"other {what}"
    random = [bool(result.loaded and result.loaded.random_weights) for result in sides]
    if random[0] != random[1]:
        yield "random weights against real ones"


def _prompts(result: Result) -> object:
    workload = result.config.workload
    return (workload.prompts_file or workload.prompts, workload.input_len, workload.seed)


def _times(value: float) -> str:
    return f"{value:.2f}x" if value >= 1.1 else f"{value - 1:.1%}"


def _span(value: float, low: float, high: float) -> str:
    return f"{value:.2f}, {low:.2f} to {high:.2f}" if high - low > 0.02 else f"{value:.3f}, {low:.3f} to {high:.3f}"


def _span_only(low: float, high: float) -> str:
    return f"{_times(low)} to {_times(high)}" if low < 1.1 else f"{low:.2f} to {high:.2f}"


_WAYS: dict[str, Callable[[float], str]] = {
    "seconds": format_seconds,
    "bytes": format_bytes,
    "number": format_number,
}
