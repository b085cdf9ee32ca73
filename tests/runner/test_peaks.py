"""Runs carry their device's ceilings, and their shares of them."""

from pathlib import Path

import msgspec
import pytest
from support.runs import run, simulated

from infertui.config.sources import load
from infertui.measure.roofline import DevicePeaks
from infertui.results.peaks import keep_peaks, peaks_file
from infertui.results.result import Result
from infertui.telemetry.host import host_facts


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return {"XDG_STATE_HOME": str(tmp_path / "state")}


def test_a_run_on_a_calibrated_cpu(tmp_path: Path, home: dict[str, str]) -> None:
    pytest.importorskip("transformers", reason="loads a model with Transformers")
    cpu = DevicePeaks(
        host_facts().cpu_model or "CPU", "", 1e10, {"float32": 1e11}, "2026-11-20T12:00:00+00:00", threads=1
    )
    keep_peaks(msgspec.structs.replace(cpu, threads=3), home)
    keep_peaks(cpu, home)
    flags: dict[str, object] = {
        "model.id": "synthetic:nano", "device.name": "cpu", "device.threads": 1, "workload.batch_size": 2,
        "workload.input_len": 10, "workload.prompts": "random", "workload.output_len": 5, "measurement.warmup": 1,
        "measurement.iterations": 2,
    }  # fmt: skip
    config = load(None, environ={}, flags={key: ("test", value) for key, value in flags.items()}).config
    out = tmp_path / "reports"
    (result,), _ = run(config, out=out)
    assert result.ceilings == cpu
    limits = result.limits
    assert limits is not None
    # nano: 4 layers of 8 heads and 4 KV heads of 32, hidden 256, vocabulary 4096, tied: all is read, in float32.
    #   bytes of a step: 4,000,000 x 4, and 2 x 4 x 4 x 32 x 4 = 4096 a token x 2 sequences x (10 + 2.5) tokens
    assert result.loaded is not None
    looked_up = result.loaded.lookup_bytes or 0
    assert limits.step_weights == 16_000_000 - looked_up
    assert limits.step_kv == 4096 * 2 * 12.5
    assert result.summary.tpot is not None and result.summary.tpot.mean is not None  # noqa: PT018
    step = 16_000_000 - looked_up + 102_400
    assert limits.mbu == pytest.approx(step / result.summary.tpot.mean / 1e10)
    # prefill of 2: 2 x (2 x 2,949,120 x 10 + 4 x 4 x 256 x 50 + 2 x 4096 x 256)
    assert limits.prefill_operations == 2 * (58_982_400 + 204_800 + 2_097_152)
    assert result.summary.prefill == pytest.approx(result.summary.ttft.mean if result.summary.ttft else None)
    assert limits.mfu == pytest.approx(limits.prefill_operations / (result.summary.prefill or 1) / 1e11)
    line = (out / "results.jsonl").read_bytes().splitlines()[0]
    assert msgspec.json.decode(line, type=Result) == result


def test_the_simulator_has_no_limits(tmp_path: Path, home: dict[str, str]) -> None:
    (result,), _ = run(simulated(), out=tmp_path / "reports")
    assert result.state == "finished"
    assert (result.ceilings, result.limits) == (None, None)


def test_a_broken_file_of_ceilings_costs_no_run(tmp_path: Path, home: dict[str, str]) -> None:
    path = peaks_file(home)
    path.parent.mkdir(parents=True)
    path.write_text("{")
    pytest.importorskip("transformers", reason="loads a model with Transformers")
    from infertui.runner.execution.fingerprint import fingerprint
    from infertui.runner.peaks import KnownLimits, look_up
    from infertui.targets.engine.base import Loaded

    config = simulated()
    loaded = Loaded("transformers", {}, "cpu", "CPU", "float32", "sdpa", 1, 1, 1, random_weights=True, memory_policy="")
    known = look_up(config, loaded, fingerprint(config, ()))
    assert known.ceilings is None
    assert known.shape is not None
    assert (
        look_up(config, msgspec.structs.replace(loaded, engine="simulator"), fingerprint(config, ())) == KnownLimits()
    )
