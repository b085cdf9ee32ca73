"""The file of calibrations."""

from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace
from support.results import make_results

from infertui.errors import StoreError
from infertui.measure.roofline import DevicePeaks, Limits
from infertui.results.index import ResultIndex, ResultQuery
from infertui.results.peaks import find_peaks, keep_peaks, peaks_file, read_peaks

GPU = DevicePeaks("NVIDIA H200", "580.1", 4e12, {"bfloat16": 7e14}, "2026-11-20T12:00:00+00:00", uuid="GPU-aa-bb")
CPU = DevicePeaks("EPYC", "", 4e11, {"float32": 2e12}, "2026-11-20T12:00:00+00:00", threads=16)


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    return {"XDG_STATE_HOME": str(tmp_path)}


def test_entries_are_kept_and_found(home: dict[str, str]) -> None:
    assert read_peaks(home) == ()
    keep_peaks(GPU, home)
    keep_peaks(CPU, home)
    entries = read_peaks(home)
    assert entries == (GPU, CPU)
    assert find_peaks(entries, name="NVIDIA H200", uuid="GPU-aa-bb", driver="580.1") == GPU
    assert find_peaks(entries, name="whatever", uuid="aa-bb", driver="580.1") == GPU
    assert find_peaks(entries, name="EPYC", threads=16) == CPU


def test_another_driver_device_or_number_of_threads_is_not_known(home: dict[str, str]) -> None:
    entries = (GPU, CPU)
    assert find_peaks(entries, name="NVIDIA H200", uuid="GPU-aa-bb", driver="590") is None
    assert find_peaks(entries, name="NVIDIA H200", uuid="GPU-cc", driver="580.1") is None
    assert find_peaks(entries, name="NVIDIA H200") is None
    assert find_peaks(entries, name="EPYC", threads=8) is None
    assert find_peaks(entries, name="EPYC", uuid="unknown", threads=16) is None


def test_a_new_measurement_takes_the_place_of_the_old_one(home: dict[str, str]) -> None:
    keep_peaks(GPU, home)
    keep_peaks(CPU, home)
    newer = replace(GPU, driver="590", copy_bandwidth=4.1e12)
    keep_peaks(newer, home)
    keep_peaks(replace(CPU, threads=8), home)
    assert read_peaks(home) == (CPU, newer, replace(CPU, threads=8))


@pytest.mark.parametrize("content", [b"", b"{", b'{"ceilings": [{"device": 1}]}', b"\xff\xfe", b"[" * 100_000])
def test_a_broken_file_says_what_to_do_and_gives_way(home: dict[str, str], content: bytes) -> None:
    path = peaks_file(home)
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with pytest.raises(StoreError) as told:
        read_peaks(home)
    assert "infertui calibrate" in told.value.remedy
    keep_peaks(CPU, home)
    assert read_peaks(home) == (CPU,)


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "infertui").write_text("a file")
    with pytest.raises(StoreError):
        keep_peaks(CPU, {"XDG_STATE_HOME": str(tmp_path)})


def test_rows_of_the_table_have_the_shares_that_were_kept(tmp_path: Path) -> None:
    limited, plain, other = make_results(3)
    out = tmp_path / "reports"
    out.mkdir()
    shares = {limited.id: Limits(mbu=0.62, mfu=0.05), other.id: Limits(mbu=0.31)}
    with (out / "results.jsonl").open("wb") as stream:
        for result in (limited, plain, other):
            stream.write(msgspec.json.encode(replace(result, limits=shares.get(result.id))) + b"\n")
    index = ResultIndex(out, cache=tmp_path / "cache")
    page = index.page(ResultQuery(str(out), sort="mbu"))
    assert [(row.id, row.mbu, row.mfu) for row in page.rows] == [
        (limited.id, 0.62, 0.05),
        (other.id, 0.31, None),
        (plain.id, None, None),
    ]
    above = index.page(ResultQuery(str(out), filter="mbu>50"))  # percent, as the table shows it
    assert [row.id for row in above.rows] == [limited.id]
    index.close()
