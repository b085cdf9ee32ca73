"""Building engines, with tools that print what the real ones print, and fail, hang and crash as they do."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support import trtllm
from support.daemons import wait_until

from infertui.config.engines.tensorrt_llm import TensorrtLlmOptions
from infertui.config.schema import EngineConfig
from infertui.errors import EngineError, InfertuiError, ModelError, StoreError, UsageError
from infertui.models.resolve import resolve
from infertui.targets.engine.base import Capacity
from infertui.targets.engine.gpus import Driver, Gpu
from infertui.targets.engine.tensorrt_llm.build import cache, process, recipe
from infertui.targets.engine.tensorrt_llm.build.builder import Order, build, prepare
from infertui.targets.engine.tensorrt_llm.build.progress import BuildProgress, Reader
from infertui.targets.engine.tensorrt_llm.build.recipe import PRECISIONS, BuildOptions, Precision, Step, Tools
from infertui.targets.engine.tensorrt_llm.options import parse

Install = Callable[..., Path]
SMALL = BuildOptions("fp16", batch_size=4, max_input_len=64, max_output_len=32)


@pytest.fixture
def box(install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine on which everything is there; the folder of the model."""
    install()
    binaries, examples = trtllm.tools(tmp_path)
    monkeypatch.setenv("PATH", f"{binaries}:{os.environ['PATH']}")
    monkeypatch.setenv("TENSORRT_LLM_EXAMPLES", str(examples))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("FAKE_RAN", str(tmp_path / "ran"))
    for name in ("FAKE_BUILD", "FAKE_CONVERT", "FAKE_QUANT", "FAKE_DTYPE", "FAKE_BATCH"):
        monkeypatch.delenv(name, raising=False)
    return trtllm.weighty(tmp_path / "models/mine")


def order(model: Path, options: BuildOptions = SMALL, **more: Any) -> Order:
    return Order(str(model), options, **more)


def ran(tmp_path: Path) -> list[str]:
    path = tmp_path / "ran"
    return path.read_text().split() if path.exists() else []


def quiet(progress: BuildProgress) -> None:
    """Nobody looks on."""


def left(tmp_path: Path) -> list[str]:
    """What lies in the cache, hidden things too."""
    folder = tmp_path / "cache/infertui/tensorrt-engines"
    return sorted(entry.name for entry in folder.iterdir()) if folder.exists() else []


def test_an_engine_is_built_whole_and_only_once(box: Path, tmp_path: Path) -> None:
    seen: list[BuildProgress] = []
    done = build(prepare(order(box)), seen.append)

    folder = Path(done.engine_dir)
    assert sorted(entry.name for entry in folder.iterdir()) == [
        "build.log", "config.json", "infertui-build.json", "rank0.engine",
    ]  # fmt: skip
    log = (folder / "build.log").read_text()
    assert "Total time of converting checkpoints" in log
    assert "Total time of building all engines" in log
    assert left(tmp_path) == [folder.name]
    assert folder.name.startswith("mine-fp16-")
    assert set(done.seconds) == {"convert", "build"}
    stages = list(dict.fromkeys(f"{now.step} {now.stage}" for now in seen))
    assert stages[-1] == "build done"

    again = build(prepare(order(box)), quiet)
    assert again.cached
    assert again.engine_dir == done.engine_dir
    assert again.commands == done.commands
    assert ran(tmp_path) == ["convert", "build"]

    forced = build(prepare(order(box, force=True)), quiet)
    assert not forced.cached
    assert ran(tmp_path) == ["convert", "build"] * 2
    assert left(tmp_path) == [folder.name]


def test_preparing_changes_nothing(box: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    prepared = prepare(order(box))
    assert sorted(tmp_path.rglob("*")) == before
    assert [step.name for step in prepared.steps] == ["convert", "build"]


@pytest.mark.parametrize(
    ("variable", "does", "message", "remedy"),
    [
        ("FAKE_CONVERT", "fail", "converting the checkpoint failed with exit status 1: KeyError", "whole output is in"),
        ("FAKE_BUILD", "fail", "trtllm-build failed with exit status 1: AssertionError", "whole output is in"),
        ("FAKE_BUILD", "full", r"trtllm-build failed with exit status 1: OSError: \[Errno 28\]", "The disk is full"),
        ("FAKE_BUILD", "crash", "trtllm-build was killed by SIGKILL", "several times the weights"),
        ("FAKE_DTYPE", "bfloat16", "not the one that was asked for: its dtype is bfloat16", ""),
        ("FAKE_BATCH", "2", "not the one that was asked for: its batch size is 2", ""),
        ("FAKE_QUANT", "FP8", "not the one that was asked for: its precision is fp8", ""),
    ],
)
def test_a_build_that_fails_leaves_its_log_and_no_engine(
    variable: str, does: str, message: str, remedy: str, box: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, does)
    prepared = prepare(order(box))
    with pytest.raises(EngineError, match=message) as caught:
        build(prepared, quiet)
    assert remedy in caught.value.remedy
    assert left(tmp_path) == [f"{prepared.target.name}.build.log"]
    monkeypatch.delenv(variable)
    assert not build(prepare(order(box)), quiet).cached
    assert left(tmp_path) == [prepared.target.name]


def test_stopping_from_within_kills_a_group_that_does_not_heed(
    box: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_BUILD", "deaf")
    monkeypatch.setattr(process, "GRACE_S", 0.2)

    def interrupt(now: BuildProgress) -> None:
        if "Detected 17 inputs" in now.line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(prepare(order(box)), interrupt)
    for pid in (tmp_path / "ran.pids").read_text().split():
        wait_until(lambda pid=int(pid): not alive(pid))  # type: ignore[misc]
    assert [name for name in left(tmp_path) if not name.endswith(".log")] == []


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_full_disk_under_the_log_ends_the_step() -> None:
    step = Step("build", ("python3", "-c", "import time; print('x' * 100, flush=True); time.sleep(600)"))
    with pytest.raises(EngineError, match="/dev/full cannot be written: No space left"):
        process.run(step, Path("/dev/full"), ranks=1, told=quiet)


def test_a_child_that_holds_the_pipe_does_not_hold_us(tmp_path: Path) -> None:
    code = "import subprocess; print('done', flush=True); subprocess.Popen(['sleep', '600'], start_new_session=False)"
    began = time.monotonic()
    process.run(Step("build", ("python3", "-c", code)), tmp_path / "log", ranks=1, told=quiet)
    assert time.monotonic() - began < 60
    assert (tmp_path / "log").read_text() == "done\n"


def test_too_little_room_is_said_before_anything_runs(
    box: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1 << 20))
    with pytest.raises(StoreError, match=r"building needs about 1\.0\d GiB on disk, .* has 1\.00 MiB free"):
        build(prepare(order(box)), quiet)
    assert ran(tmp_path) == []
    assert left(tmp_path) == []


def test_a_folder_of_ones_own(box: Path, tmp_path: Path) -> None:
    out = tmp_path / "out/engine"
    done = build(prepare(order(box, out=out)), quiet)
    assert done.engine_dir == str(out)
    assert build(prepare(order(box, out=out)), quiet).cached
    other = BuildOptions("fp16", batch_size=8, max_input_len=64, max_output_len=32)
    with pytest.raises(UsageError, match="holds another engine"):
        prepare(order(box, other, out=out))
    assert not build(prepare(order(box, other, out=out, force=True)), quiet).cached
    assert [entry.name for entry in out.parent.iterdir()] == ["engine"]
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious/thesis.txt").write_text("do not delete")
    for force in (False, True):
        with pytest.raises(UsageError, match="was not made by infertui build"):
            prepare(order(box, out=tmp_path / "precious", force=force))
    assert (tmp_path / "precious/thesis.txt").read_text() == "do not delete"


def test_what_killed_builds_left_is_swept_and_running_ones_are_left(box: Path, tmp_path: Path) -> None:
    prepared = prepare(order(box))
    ended = subprocess.Popen(["true"])
    ended.wait()
    dead, running = (prepared.target.parent / f".{prepared.target.name}.{pid}.partial" for pid in (ended.pid, 1))
    for folder in (dead, running):
        (folder / "engine").mkdir(parents=True)
    build(prepared, quiet)
    assert not dead.exists()
    assert running.exists()


# -- what is refused


def test_refusals_say_what_to_do_instead(
    box: Path, install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synthetic = Path("synthetic:nano")
    quantized = trtllm.weighty(tmp_path / "models/q", quantization_config={"quant_method": "fp8"})
    strange = trtllm.weighty(tmp_path / "models/strange", model_type="strange")
    long = BuildOptions("fp16", batch_size=1, max_input_len=4000, max_output_len=1000)
    nvfp4 = BuildOptions("nvfp4", batch_size=1, max_input_len=8, max_output_len=8)
    cases: list[tuple[Order, type[InfertuiError], str]] = [
        (order(synthetic), ModelError, "has no weights to convert"),
        (order(quantized), ModelError, r"is quantized already \(fp8\)"),
        (order(strange), ModelError, "no conversion script is known"),
        (order(box, long), ModelError, "exceed the model's 4096 positions"),
        (order(box, nvfp4), EngineError, r"compute capability 9\.0; nvfp4 needs 10\.0"),
        (order(tmp_path / "nowhere"), ModelError, "does not exist"),
        (order(box, examples=str(tmp_path)), EngineError, "conversion scripts of TensorRT-LLM are not in"),
    ]
    for wrong, kind, message in cases:
        with pytest.raises(kind, match=message):
            prepare(wrong)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(EngineError, match="trtllm-build is not found"):
        prepare(order(box))
    assert ran(tmp_path) == []


def test_later_versions_build_nothing_and_need_nothing(box: Path, install: Install) -> None:
    install("later")
    with pytest.raises(
        EngineError, match=r"1\.4\.0rc1 builds no engines: that backend was removed after 1\.2"
    ) as caught:
        prepare(order(box))
    assert "loads the model itself" in caught.value.remedy


def test_without_the_library_nothing_is_built(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="engines cannot be built here: tensorrt_llm is not installed"):
        prepare(order(trtllm.weighty(tmp_path / "m")))


# -- the cache's key


def test_whatever_makes_another_engine_makes_another_key(box: Path) -> None:
    source = resolve(str(box))
    version, gpu = parse("1.2.1"), trtllm.H200.gpus[0]
    assert version is not None
    keys = [cache.key(source, SMALL, version=version, gpu=gpu)]
    older = parse("1.1.0")
    assert older is not None
    keys.append(cache.key(source, SMALL, version=older, gpu=gpu))
    keys.append(cache.key(source, SMALL, version=version, gpu=Gpu("NVIDIA H100", "GPU-1", (9, 0))))
    keys.append(cache.key(source, msgspec.structs.replace(SMALL, precision="int8"), version=version, gpu=gpu))
    keys.append(cache.key(source, msgspec.structs.replace(SMALL, max_output_len=33), version=version, gpu=gpu))
    (box / "model.safetensors").write_bytes(b"y" * 65)
    keys.append(cache.key(source, SMALL, version=version, gpu=gpu))
    source = msgspec.structs.replace(source, revision="c0ffee")
    keys.append(cache.key(source, SMALL, version=version, gpu=gpu))
    assert len({key.digest for key in keys}) == len(keys)
    assert keys[0].digest == msgspec.json.decode(msgspec.json.encode(keys[0]), type=cache.Key).digest
    # The same kind of GPU, another card.
    assert cache.key(source, SMALL, version=version, gpu=trtllm.H200.gpus[1]) == keys[-1]


@pytest.mark.parametrize("name", ["../../etc", "a/b\x1b[31m", "", ".hidden", "x" * 500, "org/Llama-3.1-8B"])
def test_names_of_folders_are_harmless(name: str) -> None:
    key = cache.Key(name, "1", "1.2.1", "NVIDIA H200", "9.0", SMALL)
    assert "/" not in key.folder
    assert not key.folder.startswith(".")
    assert key.folder.isprintable()
    assert len(key.folder) < 100


def test_a_run_finds_the_smallest_engine_that_serves(box: Path, tmp_path: Path) -> None:
    large = BuildOptions("fp16", batch_size=16, max_input_len=64, max_output_len=32)
    for options in (large, SMALL):
        build(prepare(order(box, options)), quiet)
    source, gpu = resolve(str(box)), trtllm.H200.gpus[0]
    engine = EngineConfig(name="tensorrt-llm", dtype="float16", tensorrt_llm=TensorrtLlmOptions(backend="engine"))

    def found(sequences: int, **changes: Any) -> int:
        asked = msgspec.structs.replace(engine, **changes)
        capacity = Capacity(sequences, prompt_tokens=60, output_tokens=20)
        return cache.find(source, capacity, asked, version=parse("1.2.1"), gpu=gpu).max_batch_size

    assert found(2) == 4
    assert found(5) == 16
    for sequences, changes in ((17, {}), (2, {"dtype": "bfloat16"}), (2, {"quantization": "fp8"})):
        with pytest.raises(EngineError, match="no engine was built") as caught:
            found(sequences, **changes)
        assert caught.value.remedy.startswith("infertui build ")
    with pytest.raises(EngineError):
        cache.find(source, Capacity(1, 1, 1), engine, version=parse("1.2.0"), gpu=gpu)


# -- the recipe


TOOLS = Tools("/usr/bin/python3", "/usr/bin/trtllm-build", Path("/examples"))


@pytest.fixture
def scripts(tmp_path: Path) -> Tools:
    _, examples = trtllm.tools(tmp_path)
    return Tools("py", "trtllm-build", examples)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_each_precision_has_its_commands(precision: Precision, scripts: Tools, tmp_path: Path) -> None:
    source = resolve(str(trtllm.weighty(tmp_path / "m")))
    options = BuildOptions(precision, batch_size=4, max_input_len=9000, max_output_len=100, tensor_parallel=2)
    work = tmp_path / "work"
    convert, made = recipe.steps(
        source, options, scripts, checkpoint=work / "c", engine=work / "e", calibration="/data"
    )
    text = " ".join(convert.command)
    calibrated = {"fp8": "fp8", "int4-awq": "int4_awq", "w4a8-awq": "w4a8_awq", "int8-sq": "int8_sq", "nvfp4": "nvfp4"}
    if precision in calibrated:
        assert "quantization/quantize.py" in text
        assert f"--qformat {calibrated[precision]} --calib_dataset /data" in text
    else:
        assert "models/core/llama/convert_checkpoint.py" in text
        assert ("--use_weight_only --weight_only_precision" in text) is (precision in ("int8", "int4"))
    dtype = {"fp32": "float32", "fp16": "float16"}.get(precision, "bfloat16")
    assert f"--tp_size 2 --dtype {dtype}" in text
    told = dict(zip(made.command[1::2], made.command[2::2], strict=True))
    assert told["--max_seq_len"] == "9100"
    assert told["--max_num_tokens"] == "9000"
    assert told["--workers"] == "2"
    known = {flag for flags in trtllm.surface()["trtllm-build"] for flag in flags.split("|")}
    assert set(told) <= known


def test_room_is_asked_for_by_the_precision(tmp_path: Path) -> None:
    source = resolve("synthetic:llama-8b")
    need = {
        precision: recipe.space_needed(source, BuildOptions(precision, 1, 8, 8)) / 2**30 for precision in PRECISIONS
    }
    assert need["fp32"] > need["fp16"] == need["bf16"] > need["int8"] == need["fp8"] > need["int4"]
    # Twice 8.03 billion parameters of two bytes, a tenth, and a GiB.
    assert need["fp16"] == pytest.approx(2 * 1.1 * 8.03e9 * 2 / 2**30 + 1, rel=0.01)


def test_progress_of_several_parts_and_of_a_bar() -> None:
    reader = Reader("build", ranks=2)
    for line in (
        "Set gemm_plugin to auto.",
        "Build TensorRT engine Unnamed Network 0",
        "Engine serialized. Total time",
    ):
        reader.take(f"[12/20/2025-04:21:53] [TRT-LLM] [I] {line}")
    assert reader.now(3.0).stage == "engine 1 of 2 written"
    reader = Reader("convert", ranks=1)
    reader.take("Loading checkpoint shards:  50%|#####     | 1/2 [00:01<00:01]")
    assert (reader.now(1.0).stage, reader.now(1.0).fraction) == ("loading the checkpoint", 0.5)
    reader.take("Total time of converting checkpoints: 00:00:31")
    assert reader.now(1.0).fraction is None
    reader.take("\x1b]0;evil\x07line")
    assert reader.now(1.0).line == "line"


def test_a_weak_gpu_is_told_which_precision_it_lacks(box: Path, driver: Callable[[Driver], None]) -> None:
    driver(Driver("580", 13000, (Gpu("NVIDIA A100", "GPU-1", (8, 0)),)))
    with pytest.raises(EngineError, match=r"8\.0; fp8 needs 8\.9"):
        prepare(order(box, msgspec.structs.replace(SMALL, precision="fp8")))
    assert prepare(order(box)).key.capability == "8.0"


def test_records_that_are_torn_are_no_engines(box: Path, tmp_path: Path) -> None:
    done = build(prepare(order(box)), quiet)
    record = Path(done.engine_dir) / cache.RECORD
    assert json.loads(record.read_text())["key"]["gpu"] == "NVIDIA H200"
    assert [folder for folder, _ in cache.entries()] == [Path(done.engine_dir)]
    record.write_text('{"key": ')
    assert list(cache.entries()) == []
