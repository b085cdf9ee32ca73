"""What differs between two runs, and what makes them two measurements of different things."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from msgspec import Struct

from infertui.analysis.limits import limits_of
from infertui.config.fields import FIELDS
from infertui.measure.validity import DISTURBING_THROTTLES
from infertui.metrics.metric import NOT_AVAILABLE
from infertui.metrics.number_format import kv_form_of
from infertui.metrics.reads import DIVERGED, caveats, in_force
from infertui.results.result import Result
from infertui.results.setup import JUDGED
from infertui.text import clean
from infertui.units import format_number

_COMMON_OPTIONS = ("dtype", "mode", "attention", "quantization", "speculation", "tensor_parallel")


class Difference(Struct, frozen=True):
    """Something that is not the same in both runs."""

    what: str
    first: str
    second: str


def differences(first: Result, second: Result) -> Iterator[Difference]:
    """Keys of the config, then what ran where. A key that an imported file does not tell is not available."""
    ours, theirs = first.setup.all(), second.setup.all()
    defaults = [0, 0]
    told: dict[str, tuple[str, str]] = {}
    for path in FIELDS:
        knows = (path in ours, path in theirs)
        if knows[0] != knows[1] and not path.startswith("workload."):
            side = knows.index(True)
            if (ours, theirs)[side][path] == FIELDS[path].default:
                defaults[side] += path.partition(".")[0] not in JUDGED
                continue
        one, other = (clean(str(side[path])) if path in side else NOT_AVAILABLE for side in (ours, theirs))
        if one != other:
            told[path] = (one, other)
            yield Difference(path, one, other)
    for side, count in enumerate(defaults):
        if count:  # they would fill a screen and say nothing
            said = [NOT_AVAILABLE, NOT_AVAILABLE]
            said[side] = "as by default"
            yield Difference(f"{count} other keys of the config", *said)
    labels = {**ours, **theirs}
    for path in sorted(path for path in labels if path.startswith("labels.")):
        if ours.get(path) != theirs.get(path):
            yield Difference(clean(path), *(clean(str(side.get(path, NOT_AVAILABLE))) for side in (ours, theirs)))
    for name, read in _ENVIRONMENT.items():
        one, other = read(first), read(second)
        as_asked = told.get(f"engine.{name.removesuffix(' in force')}") == (one, other)
        if one != other and not as_asked:
            yield Difference(name, clean(one) or NOT_AVAILABLE, clean(other) or NOT_AVAILABLE)


def unlike(first: Result, second: Result, names: tuple[str, str] | None = None) -> Iterator[str]:
    """Why the two are not the same measurement with another setting; the runs go by `names`, or by their ids."""
    sides = tuple(zip(names or (first.id, second.id), (first, second), strict=True))
    for name, result in sides:
        yield from (clean(f"{name}{mark}") for mark in _of_one(result))
    for check in _CHECKS:
        untold = [name for name, result in sides if not _tells(result, check)]
        if untold:
            yield clean(f"{' and '.join(untold)}: {check.what} not known")
        elif check.read(first) != check.read(second):
            yield f"other {check.what}" + _values(check.read(first), check.read(second))
    caches = [kv_form_of(result.effective.settings if result.effective else {}) for _, result in sides]
    if all(caches) and caches[0] != caches[1]:
        yield clean(f"other formats of the KV cache: {', '.join(caches)}")
    random = [result.loaded.random_weights for _, result in sides if result.loaded]
    if len(set(random)) > 1:
        yield "random weights against real ones"
    elif _is_synthetic(first) != _is_synthetic(second):
        yield "a synthetic model against a real one"
    if _engine(first) == _engine(second) and _versions(first) != _versions(second):
        yield clean(f"other versions of {_engine(first)}: {_changed(_versions(first), _versions(second))}")


def _of_one(result: Result) -> Iterator[str]:
    """What is wrong or odd with one of them."""
    for mark in caveats(result):
        if mark == DIVERGED:
            continue  # why it is marked so is told with the outputs
        yield f" is a {mark}" if mark.startswith("fallback") else f": {mark}"
    if result.imported and not any("import" in mark for mark in caveats(result)):
        yield f": imported from {result.imported}, another program measured it in its own way"
    limits = limits_of(result)
    if limits is not None and limits.bound == "client":
        yield f" is bound by the client: {limits.why}"
    if result.state != "finished":
        yield f" is {result.state}"
    for reason in result.verdict.invalid:
        yield f" is invalid: {reason}"
    throttles = sorted(DISTURBING_THROTTLES.intersection((result.device and result.device.throttles) or ()))
    if throttles and not any(name in reason for reason in result.verdict.invalid for name in throttles):
        yield f" was throttled: {', '.join(throttles)}"
    for reason in result.quality.beyond if result.quality else ():
        yield f" says something else: {reason}"


def _is_synthetic(result: Result) -> bool:
    return (result.setup.model or "").startswith("synthetic:")


class _Check(NamedTuple):
    what: str
    keys: tuple[str, ...]
    read: Callable[[Result], object]


def _tells(result: Result, check: _Check) -> bool:
    return all(result.setup.get(key) is not None for key in check.keys) and not (
        result.imported and check.read(result) == ""
    )


def _prompts(result: Result) -> object:
    file, bundled, length, seed = map(result.setup.get, _PROMPTS)
    return (file, length) if file else (bundled, length, seed)


def _quantization(result: Result) -> str:
    told = in_force(result, "quantization") or result.setup.quantization or ""
    return "not quantized" if told in ("", "auto", "none") else told


def _device(result: Result) -> str:
    """What it ran on. Engines call a CPU by names of their own, or by none, and the host knows better."""
    loaded = result.loaded
    if loaded is None:
        return ""
    return (result.fingerprint.host.cpu_model if loaded.device == "cpu" else "") or loaded.device_name


_PROMPTS = ("workload.prompts_file", "workload.prompts", "workload.input_len", "workload.seed")
_CHECKS = (
    _Check("models", ("model.id",), lambda result: (result.setup.model, result.setup.revision)),
    _Check("devices", (), lambda result: _device(result)),
    _Check("number formats", (), lambda result: result.loaded.dtype if result.loaded else ""),
    _Check("weight formats", ("engine.quantization",), lambda result: _quantization(result)),
    _Check("prompts", _PROMPTS, _prompts),
    _Check("output lengths", ("workload.output_len",), lambda result: result.setup.output_len),
    _Check("batch sizes", ("workload.batch_size",), lambda result: result.setup.batch_size),
    _Check("requests in flight", (), lambda result: result.setup.concurrency),
    _Check("request rates", (), lambda result: result.setup.request_rate),
    _Check("drivers", (), lambda result: result.fingerprint.driver),
)


def _values(one: object, other: object) -> str:
    """What they are, where that is a word or a number."""
    shown = [clean(str(value)) if isinstance(value, str | int) else "" for value in (one, other)]
    return f": {shown[0]}, {shown[1]}" if all(shown) else ""


def _engine(result: Result) -> str:
    return result.loaded.engine if result.loaded else ""


def _versions(result: Result) -> dict[str, str]:
    return result.loaded.versions if result.loaded else {}


def _changed(ours: dict[str, str], theirs: dict[str, str]) -> str:
    names = sorted({*ours, *theirs})
    return ", ".join(
        f"{name} {ours.get(name, 'none')} -> {theirs.get(name, 'none')}"
        for name in names
        if ours.get(name) != theirs.get(name)
    )


def _libraries(result: Result) -> str:
    return ", ".join(f"{name} {version}" for name, version in sorted(_versions(result).items()))


def _power_limit(result: Result) -> str:
    uuid = result.loaded.device_uuid if result.loaded else ""
    gpu = next((gpu for gpu in result.fingerprint.gpus if uuid and gpu.uuid == uuid), None)
    return f"{format_number(gpu.power_limit_w)} W" if gpu and gpu.power_limit_w is not None else ""


_ENVIRONMENT: dict[str, Callable[[Result], str]] = {
    "engine that ran": _engine,
    **{
        f"{option} in force": (lambda result, option=option: in_force(result, option))  # type: ignore[misc]
        for option in _COMMON_OPTIONS
    },
    "device": lambda result: result.loaded.device_name if result.loaded else "",
    "power limit": _power_limit,
    "driver": lambda result: result.fingerprint.driver,
    "host": lambda result: result.fingerprint.host.hostname,
    "host CPU": lambda result: result.fingerprint.host.cpu_model or "",
    "CPU governor": lambda result: result.fingerprint.host.governor or "",
    "libraries": _libraries,
    "infertui": lambda result: f"{result.fingerprint.infertui} {result.fingerprint.git_revision}".strip(),
    "measured by": lambda result: result.source or ("" if result.imported else "infertui"),
}
