"""Whether the advice is true: what a kept run is told to try next, against kept runs that tried just that.

A pair is a run with a knob, and a run of the same folder that differs from it in what the knob names and in nothing
else that could make it faster or slower. The advice held where output tokens came faster; of one of quantization,
where the time per token fell.
"""

import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from itertools import product
from pathlib import Path

import msgspec
import pytest
from msgspec import Struct

from infertui.analysis.limits import limits_of
from infertui.metrics.reads import in_force
from infertui.results.result import Result

REPORTS = Path(__file__).parents[2] / "reports"
FOLDERS = ("h200", "h200-engines", "h200-bench")
SECTIONS = ("model", "engine", "workload", "device")
BATCH, GPUS, LAYERS = "workload.batch_size", "engine.tensor_parallel", "engine.llama_cpp.n_gpu_layers"
STEP, TUNING, QUANTIZATION = "engine.transformers.graph_step", "engine.transformers.tuning", "engine.quantization"
_SETTING = r"engine\.[\w.]+=[-\w]+(?: or [-\w]+)*"
_ONE_TRY = re.compile(
    rf"(?P<set>{_SETTING}(?: with {_SETTING})*)"
    rf"|(?P<larger>a larger workload\.batch_size)(?: with (?P<also>{_SETTING}))?"
    r"|(?P<fewer>fewer GPUs \(engine\.tensor_parallel\))"
)
Values = dict[str, object]


class Try(Struct, frozen=True):
    """One thing that a knob names: keys and their new values, or that one is to grow or to fall."""

    sets: tuple[tuple[str, str], ...] = ()
    grows: str = ""
    falls: str = ""

    @property
    def option(self) -> str:
        named = " with ".join(key.removeprefix("engine.") for key, _ in self.sets)
        return " with ".join(filter(None, (self.grows or self.falls, named)))


class Pair(Struct, frozen=True):
    run: Result
    tried: Result
    what: Try

    @property
    def gain(self) -> float:
        """How many times as fast the advice made it."""
        if any(key == QUANTIZATION for key, _ in self.what.sets):
            assert self.run.summary.tpot and self.run.summary.tpot.mean  # noqa: PT018
            assert self.tried.summary.tpot and self.tried.summary.tpot.mean  # noqa: PT018
            return self.run.summary.tpot.mean / self.tried.summary.tpot.mean
        assert self.run.summary.output_throughput
        assert self.tried.summary.output_throughput
        return self.tried.summary.output_throughput / self.run.summary.output_throughput

    def __str__(self) -> str:
        said = " with ".join(f"{key}={value}" for key, value in self.what.sets) or self.what.option
        return f"{self.run.id}: {said} as in {self.tried.id} made it {self.gain:.2f} times as fast"


def tries(next_step: str) -> Iterator[Try]:
    """What a knob names, in its words: `KEY=A or B with KEY=C` are two things to try."""
    for match in _ONE_TRY.finditer(next_step):
        if match["fewer"]:
            yield Try(falls=GPUS)
            continue
        settings = re.findall(_SETTING, match["set"] or match["also"] or "")
        choices = [
            [(key, word) for word in words.split(" or ")] for key, _, words in (s.partition("=") for s in settings)
        ]
        for chosen in product(*choices):
            yield Try(sets=chosen, grows=BATCH if match["larger"] else "")


def values(result: Result) -> Values:
    """What was measured, key by key: as asked for, and as found in force where that was left to the engine."""
    found: Values = {}

    def take(path: str, value: object) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                take(f"{path}.{key}", inner)
        else:
            found[path] = value

    config = msgspec.to_builtins(result.config)
    for section in SECTIONS:
        take(section, config[section])
    del found["model.revision"]
    loaded = result.loaded
    assert loaded is not None
    on_gpu, _, layers = loaded.offloaded_layers.partition(" of ")
    return found | {
        "engine.name": loaded.engine,
        "engine.dtype": loaded.dtype,
        "engine.mode": in_force(result, "mode") or "eager",
        QUANTIZATION: in_force(result, "quantization") or "none",
        "device.name": loaded.device_name,
        LAYERS: "-1" if on_gpu == layers else on_gpu,  # all of them
    }


def follows(before: Values, after: Values, what: Try) -> bool:
    """Whether `after` is `before` with that tried, and nothing else."""
    moved = dict(what.sets)
    allowed = {*moved, what.grows, what.falls} - {""}
    if {key for key in before if before[key] != after.get(key)} != allowed:
        return False
    more = not what.grows or _int(after[what.grows]) > _int(before[what.grows])
    fewer = not what.falls or _int(after[what.falls]) < _int(before[what.falls])
    return more and fewer and all(after[key] == value for key, value in moved.items())


def _int(value: object) -> int:
    assert isinstance(value, int)
    return value


@cache
def kept(folder: str) -> tuple[Result, ...]:
    """The runs of a folder that are to be believed."""
    lines = (REPORTS / folder / "results.jsonl").read_bytes().splitlines()
    results = (msgspec.json.decode(line, type=Result) for line in lines)
    return tuple(result for result in results if result.state == "finished" and result.verdict.valid)


def knob_of(result: Result) -> str:
    """What the code says today, and not what it said when the run was kept."""
    limits = limits_of(msgspec.structs.replace(result, limits=None))
    return limits.next_step if limits else ""


@cache
def pairs() -> tuple[Pair, ...]:
    found = []
    for folder in FOLDERS:
        measured = [(result, values(result)) for result in kept(folder)]
        for run, before in measured:
            for what in tries(knob_of(run)):
                found += [Pair(run, tried, what) for tried, after in measured if follows(before, after, what)]
    return tuple(found)


EXPECTED = {
    "workload.batch_size": 118, "mode": 18, "mode with transformers.graph_step": 8, "transformers.graph_step": 17,
    "transformers.graph_step with transformers.tuning": 2, "quantization": 2, "engine.tensor_parallel": 2,
    "llama_cpp.n_gpu_layers": 6,
}  # fmt: skip
"""Pairs that there are, by what was tried."""


def test_what_runs_are_told_to_try_made_them_faster() -> None:
    """Every pair; and none may get lost, or this would pass for want of anything to look at."""
    counted = Counter(pair.what.option for pair in pairs())
    print(f"{len(pairs())} pairs checked: {dict(counted)}")  # noqa: T201 (shown with -s, and when it fails)
    untrue = [str(pair) for pair in pairs() if pair.gain <= 1]
    assert not untrue, f"{len(untrue)} of {len(pairs())} pairs:\n" + "\n".join(untrue)
    assert counted >= Counter(EXPECTED), f"{len(pairs())} pairs: {dict(counted)}"


def test_a_pair_differs_in_what_was_named_alone() -> None:
    eager, static, graph = (values(run_of(name)) for name in ("bs-1-2290", "bs-1-cf17", "bs-1-6312"))
    fused, larger = values(run_of("bs-1-d54f")), values(run_of("bs-8-1ccb"))
    (one,) = tries("engine.mode=cudagraph")
    assert follows(eager, graph, one)
    assert follows(static, graph, one)
    assert not follows(eager, static, one)
    assert not follows(eager, fused, one), "its step is another, too"
    (both,) = tries("engine.mode=cudagraph with engine.transformers.graph_step=fused")
    assert follows(eager, fused, both)
    (more,) = tries("a larger workload.batch_size (weights are read once for all sequences)")
    assert follows(fused, larger, more)
    assert not follows(larger, fused, more)
    assert not follows(eager, larger, more)


def test_what_a_knob_names() -> None:
    next_step = "engine.transformers.graph_step=compiled or fused; a larger workload.batch_size"
    assert [*tries(next_step)] == [Try(((STEP, "compiled"),)), Try(((STEP, "fused"),)), Try(grows=BATCH)]
    assert [*tries("engine.llama_cpp.n_gpu_layers=-1, or as many as fit")] == [Try(((LAYERS, "-1"),))]
    assert [*tries("fewer GPUs (engine.tensor_parallel), if the model fits; longer prompts")] == [Try(falls=GPUS)]
    assert [*tries(f"a larger workload.batch_size with {STEP}=compiled")] == [Try(((STEP, "compiled"),), BATCH)]
    assert [*tries("infertui calibrate --device cpu")] == []


# What Transformers refuses must not be advised.


def run_of(end: str) -> Result:
    return next(result for folder in FOLDERS for result in kept(folder) if result.id.endswith(end))


def refused(tried: Values) -> str:
    """Why the engine would not measure that; empty where it would."""
    if tried["engine.name"] != "transformers":
        return ""
    mode, step = tried["engine.mode"], tried[STEP]
    if step != "model" and mode != "cudagraph":
        return "nothing is captured"
    if tried[TUNING] != "none" and mode != "compile" and step != "compiled":
        return "inductor compiles nothing"
    if tried["engine.speculation"] not in ("auto", "none") and mode != "eager":
        return "speculation is eager's alone"
    alone = tried[BATCH] == 1 and tried["workload.temperature"] == 0
    if step == "fused" and tried[QUANTIZATION] not in ("auto", "none") and not alone:
        return "the fused kernels read quantised weights for one sequence alone"
    return ""


def advised(result: Result) -> Iterator[tuple[str, Values]]:
    """What a run is told to try, and what would be asked of the engine then."""
    before = values(result)
    for what in tries(knob_of(result)):
        after = before | dict(what.sets)
        if what.grows:
            after[BATCH] = _int(before[BATCH]) * 2
        yield str(what), after


def test_nothing_is_advised_that_is_refused_or_in_force() -> None:
    count = 0
    for folder in FOLDERS:
        for result in kept(folder):
            assert not refused(values(result)), f"{result.id} was measured"
            for what, after in advised(result):
                count += 1
                assert not refused(after), f"{result.id}: {what}: {refused(after)}"
                assert after != values(result) or "falls" in what, f"{result.id}: {what} is so"
    assert count > 150


def changed(result: Result, **settings: str) -> Result:
    """The run with options in force as named; a dotted name is an option of Transformers'."""
    assert result.effective
    options = {key.removeprefix("transformers__"): value for key, value in settings.items() if "__" in key}
    told = {key: value for key, value in settings.items() if "__" not in key}
    transformers = msgspec.structs.replace(result.own_config.engine.transformers, **options)
    engine = msgspec.structs.replace(result.own_config.engine, transformers=transformers, **told)
    return msgspec.structs.replace(
        result,
        config=msgspec.structs.replace(result.own_config, engine=engine),
        effective=msgspec.structs.replace(result.effective, settings=result.effective.settings | told),
    )


@pytest.mark.parametrize("end", ["bs-1-d54f", "bs-8-1ccb", "bs-1-6312", "bs-8-576f", "bs-8-f9b9", "bs-1-2290"])
@pytest.mark.parametrize("quantization", ["none", "int8", "fp8"])
@pytest.mark.parametrize("tuning", ["none", "coordinate-descent", "max-autotune"])
def test_nor_of_runs_that_are_otherwise(end: str, quantization: str, tuning: str) -> None:
    result = changed(run_of(end), quantization=quantization, transformers__tuning=tuning)
    if refused(values(result)):
        return
    for what, after in advised(result):
        assert not refused(after), f"{what}: {refused(after)}"
        assert after != values(result), f"{what} is so"


def test_a_graph_is_not_advised_where_drafts_are_checked() -> None:
    result = changed(run_of("bs-1-2290"), speculation="prompt-lookup")
    assert "engine.mode" in knob_of(run_of("bs-1-2290"))
    assert "engine.mode" not in knob_of(result)
    assert "workload.batch_size" in knob_of(result)
