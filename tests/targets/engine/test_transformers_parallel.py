"""Tensor parallelism of the Transformers engine with two real processes on a CPU, over Gloo."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.transformers_models import NANO, PROMPTS, load, tokens

from infertui.errors import ConfigError, EngineError
from infertui.targets.engine.transformers.parallel import StopStep

torch = pytest.importorskip("torch", reason="torch is not installed: pip install infertui[transformers]")
pytest.importorskip("transformers", reason="transformers is not installed")

LENGTH = 9

# Rank 0, as a worker would be: the process group belongs to the process.
SCRIPT = """
import json, sys
import msgspec
from support.sinks import Stamps
from support.transformers_models import PROMPTS, load, prepare, tokens
from infertui.targets.engine.base import Batch

class Interrupted(BaseException):
    pass

def interrupt():
    if len(sink.steps) == 3:
        raise Interrupted

engine, loaded = load(mode=sys.argv[1], tensor_parallel=2)
prepare(engine, PROMPTS, 9)
answer = {"loaded": msgspec.to_builtins(loaded), "first": tokens(engine, 9)}
sink = Stamps(then=interrupt)
try:
    engine.generate(Batch(PROMPTS, 9), sink)
except Interrupted:
    answer["steps_when_interrupted"] = len(sink.steps)
answer["second"] = tokens(engine, 9)
answer["evidence"] = msgspec.to_builtins(engine.effective())
shares = [getattr(weight, "_local_tensor", weight) for weight in engine._model.parameters()]
storages = {share.untyped_storage().data_ptr(): share.untyped_storage().nbytes() for share in shares}
answer["on_host"] = engine.memory().resident_peak
answer["held"] = sum(storages.values())
print(json.dumps(answer), flush=True)
sys.stdin.read()
engine.close()
"""


class Rank0:
    def __init__(self, mode: str) -> None:
        here = Path(__file__).parents[2]
        self.process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, mode],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": f"{here}{os.pathsep}{here.parent}", "OMP_NUM_THREADS": "1"},
            start_new_session=True,
        )
        assert self.process.stdout is not None
        self.answer: dict[str, Any] = json.loads(self.process.stdout.readline() or "{}")
        self.others = [child for child in psutil.Process(self.process.pid).children() if "rank" in str(child.cmdline())]

    def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture(scope="module")
def expected() -> list[list[int]]:
    return tokens(load()[0], LENGTH)


@pytest.fixture(scope="module")
def eager() -> Iterator[Rank0]:
    started = Rank0("eager")
    yield started
    started.end()


def test_two_processes_generate_what_one_does(eager: Rank0, expected: list[list[int]]) -> None:
    assert eager.answer["first"] == expected


def test_an_interrupted_batch_stops_on_both_and_the_next_runs(eager: Rank0, expected: list[list[int]]) -> None:
    assert eager.answer["steps_when_interrupted"] == 3
    assert eager.answer["second"] == expected


def test_what_is_divided_is_found_by_looking(eager: Rank0) -> None:
    found, loaded = eager.answer["evidence"], eager.answer["loaded"]
    assert found["levers"]["tensor_parallel"] == "2"
    assert found["levers"]["mode"] == "eager"
    assert found["facts"]["ranks"] == "2 over gloo"
    divided, whole = map(int, found["facts"]["divided_weights"].split(" of "))
    assert divided >= 4 * 7
    assert whole > divided
    per_rank = [int(number) for number in found["facts"]["weight_bytes_per_rank"].split(", ")]
    assert len(per_rank) == 2
    assert loaded["weight_bytes"] == per_rank[0]
    _, alone = load()
    assert alone.weight_bytes is not None
    assert loaded["parameters"] == alone.parameters
    assert alone.weight_bytes <= sum(per_rank) < 1.1 * alone.weight_bytes


def test_the_host_memory_of_the_other_process_is_told(eager: Rank0) -> None:
    (other,) = eager.others
    assert eager.answer["on_host"] >= other.memory_info().rss / 2


def test_shares_keep_no_whole_weights_in_memory(eager: Rank0) -> None:
    assert eager.answer["held"] == eager.answer["loaded"]["weight_bytes"]


def test_the_first_process_ends_when_another_is_gone(eager: Rank0) -> None:
    """It would wait inside a collective for ever; this is the last test of that pair."""
    (other,) = eager.others
    other.kill()
    assert eager.process.wait(30) == 71


def test_the_other_process_ends_with_the_first() -> None:
    """Its orders come on a pipe that ends when the first process does, however that ends."""
    stop = StopStep.create()
    rank = subprocess.Popen(
        [sys.executable, "-P", "-m", "infertui.targets.engine.transformers.rank", str(stop.descriptor)],
        stdin=subprocess.PIPE,
        pass_fds=(stop.descriptor,),
    )
    assert rank.stdin is not None
    rank.stdin.close()
    assert rank.wait(60) == 0


def test_ranks_stop_after_the_same_step_of_the_same_batch() -> None:
    stop = StopStep.create()
    assert not stop.reached(1, 5)
    stop.set(1, 5)
    assert [step for step in range(8) if stop.reached(1, step)] == [5, 6, 7]
    assert not any(stop.reached(2, step) for step in range(8))


@pytest.mark.parametrize(
    "settings",
    [{"mode": "continuous"}, {"mode": "compile"}, {"quantization": "int8"}],
    ids=lambda settings: next(iter(settings)),
)
def test_options_that_do_not_go_with_it_are_refused(settings: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"engine\.tensor_parallel"):
        load(NANO, tensor_parallel=2, **settings)


@pytest.mark.gpu
def test_more_gpus_than_there_are_is_refused() -> None:
    with pytest.raises(EngineError, match="visible"):
        load(NANO, tensor_parallel=64, device="cuda")


def test_alone_nothing_is_divided() -> None:
    engine, _ = load()
    tokens(engine, 2, PROMPTS)
    assert engine.effective().settings["tensor_parallel"] == "1"
