import shutil
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.results import make_results, write_folder, write_results

from infertui.errors import StoreError
from infertui.results.details import LOG_BYTES, MAX_BATCHES, MAX_SAMPLES, read_details, thin
from infertui.results.result import Result
from infertui.telemetry.readings import Sample


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path, _finished())


def _finished() -> Result:
    return next(result for result in make_results(50) if result.state == "finished")


def test_everything_of_a_run_is_read(folder: Path) -> None:
    details = read_details(folder)
    result = _finished()
    assert (details.id, details.folder, details.result) == (result.id, str(folder), result)
    assert "batch_size" in details.toml
    assert len(details.batches) == 10  # one of each batch, however many requests it had
    assert details.telemetry[0] == msgspec.json.decode((folder / "telemetry.jsonl").open("rb").readline(), type=Sample)
    assert details.log.startswith("loading weights\nready\n")


def test_a_batch_is_as_fast_as_its_requests_together(folder: Path) -> None:
    batch = read_details(folder).batches[0]
    workload = _finished().own_config.workload
    assert batch.latency
    assert batch.tps == pytest.approx(workload.batch_size * workload.output_len / batch.latency)


def test_a_run_without_a_result_is_read_as_far_as_it_got(folder: Path) -> None:
    (folder / "result.json").unlink()
    with (folder / "requests.jsonl").open("ab") as stream:
        stream.write(b'{"prompt":"torn')
    (folder / "worker.log").unlink()
    (folder / "telemetry.jsonl").unlink()
    details = read_details(folder)
    assert details.result is None
    assert len(details.batches) == 10
    assert (details.log, details.telemetry) == ("", ())


def test_telemetry_that_cannot_be_read_takes_nothing_else_along(folder: Path) -> None:
    before = read_details(folder)
    (folder / "telemetry.jsonl").unlink(missing_ok=True)
    (folder / "telemetry.jsonl").mkdir()
    after = read_details(folder)
    assert (after.telemetry, after.lost) == ((), ("telemetry.jsonl",))
    assert (after.result, after.batches) == (before.result, before.batches)


def test_a_run_whose_folder_is_gone_is_read_from_the_index(tmp_path: Path) -> None:
    ids = write_results(tmp_path, 5, folders=1)
    shutil.rmtree(tmp_path / ids[-1])
    details = read_details(tmp_path / ids[-1])
    assert details.result
    assert details.result.id == ids[-1]
    assert (details.toml, details.batches) == ("", ())
    with pytest.raises(StoreError, match="there is no run"):
        read_details(tmp_path / "nobody")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 5000, b'{"id":1}', b"null"])
def test_a_result_that_cannot_be_read_is_none(folder: Path, content: bytes) -> None:
    (folder / "result.json").write_bytes(content)
    assert read_details(folder).result is None


def test_of_a_long_log_the_end_is_kept_and_it_is_cleaned(folder: Path) -> None:
    (folder / "worker.log").write_bytes(b"first\n" + b"x" * LOG_BYTES + b"\n\x1b]0;owned\x07last \xff\r\n")
    log = read_details(folder).log
    assert "first" not in log
    assert log.endswith("last \N{REPLACEMENT CHARACTER}\n")
    assert "\x1b" not in log
    assert len(log) <= LOG_BYTES


def test_of_a_long_run_peaks_are_kept(folder: Path) -> None:
    lines = [{"batch": n, "start": n * 1.0, "latency": 1.0, "tps": 5.0} for n in range(9000)]
    lines[4321]["latency"] = 77.0
    (folder / "requests.jsonl").write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
    sample = (folder / "telemetry.jsonl").open("rb").readline()
    (folder / "telemetry.jsonl").write_bytes(sample * 5000)
    details = read_details(folder)
    assert len(details.batches) <= MAX_BATCHES
    assert len(details.telemetry) <= MAX_SAMPLES
    assert max(batch.latency or 0 for batch in details.batches) == 77.0
    assert [batch.start for batch in details.batches] == sorted(batch.start for batch in details.batches)


@given(st.lists(st.none() | st.floats(-1e6, 1e6), max_size=200), st.integers(2, 50))
def test_thinning_keeps_order_and_extremes_within_its_limit(values: list[float | None], limit: int) -> None:
    points = list(enumerate(values))
    kept = thin(points, limit, lambda point: point[1])
    assert len(kept) <= max(limit, 2)
    assert list(kept) == sorted(kept, key=lambda point: point[0])
    assert set(kept) <= set(points)
    known = [value for value in values if value is not None]
    if known:
        assert {min(known), max(known)} <= {value for _, value in kept}
