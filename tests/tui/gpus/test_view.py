from dataclasses import dataclass

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.scenes import HOSTILE, facts, gpu_sample, gpus, host_sample, sample, uuid

from infertui.telemetry.readings import GpuInfo, GpuSample, HostSample, Sample
from infertui.tui.gpus.columns import plan, wanted_lines
from infertui.tui.gpus.history import QUANTITIES, gpu_tracks, host_tracks, sparks, told
from infertui.tui.gpus.host import host_gauges, host_line
from infertui.tui.gpus.view import Device, Steady, device_cells, devices_in_use, header_cells, limits, rate
from infertui.tui.settings.stored import Settings
from infertui.tui.themes import DEFAULT_PALETTE
from infertui.tui.widgets.cells import RenderContext

LOOK = RenderContext(DEFAULT_PALETTE)
ASCII = RenderContext(DEFAULT_PALETTE, ascii=True)


@dataclass
class Drawn:
    text: str
    styles: set[str]


def draw(reading: GpuSample | None, *, width: int = 116, look: RenderContext = LOOK, **device: object) -> Drawn:
    info = gpus(1)[0]
    columns = plan(width, 3, [info]).columns
    cells = device_cells(Device(info, reading, **device), columns, look)  # type: ignore[arg-type]
    assert [cell.cell_len for cell in cells] == [column.width for column in columns]
    styles = {str(cell.style) for cell in cells} | {str(span.style) for cell in cells for span in cell.spans}
    return Drawn("".join(cell.plain for cell in cells), styles)


def reading(**changes: object) -> GpuSample:
    return msgspec.structs.replace(gpu_sample(gpus(1)[0]), **changes)


def test_a_wide_row_says_everything_in_figures() -> None:
    shown = draw(reading(throttle=("power-cap",), sm_mhz=1410), runs=("#3 bs=4",)).text
    for figure in ("61.0/80G", "510/700W", "64/87C", "95%", "1410", "PWR", "#3 bs=4", "H100 80GB"):
        assert figure in shown


@given(st.integers(1, 250), st.integers(1, 30), st.integers(1, 20), st.integers(0, 3))
def test_a_layout_never_exceeds_the_room(width: int, height: int, count: int, mig: int) -> None:
    infos = gpus(count, mig=mig)
    made = plan(width, height, infos)
    assert made.lines + made.header <= max(1, height)
    assert made.across * sum(column.width for column in made.columns) <= width
    for column, cell in zip(made.columns, header_cells(made.columns, LOOK), strict=True):
        assert cell.cell_len == column.width


@pytest.mark.parametrize(("width", "height", "across"), [(116, 10, 1), (78, 7, 2), (78, 12, 1), (60, 4, 1)])
def test_eight_gpus_stand_two_in_a_line_where_one_each_does_not_fit(width: int, height: int, across: int) -> None:
    assert plan(width, height, gpus(8)).across == across


def test_the_room_that_is_asked_for_grows_with_the_devices() -> None:
    assert wanted_lines(116, gpus(8)) == 10
    assert wanted_lines(78, gpus(8)) == 10
    assert wanted_lines(78, gpus(16)) == 10  # two in a line
    assert wanted_lines(116, gpus(3)) == 5
    assert wanted_lines(116, gpus(1)) == 10  # with its history
    assert wanted_lines(78, gpus(1)) == 3
    assert wanted_lines(116, gpus(64)) == 18


_maybe = st.none() | st.floats(-1e6, 1e9)
_bytes = st.none() | st.integers(0, 2**50)
_words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
READINGS = st.builds(
    GpuSample,
    index=st.integers(0, 100),
    uuid=st.just("GPU"),
    utilization=_maybe,
    memory_used=_bytes,
    memory_total=_bytes,
    power_w=_maybe,
    temperature_c=_maybe,
    sm_mhz=st.none() | st.integers(-9, 10**9),
    throttle=st.none() | st.lists(_words, max_size=3).map(tuple),
    lost=st.just("") | _words,
)
INFOS = st.builds(
    GpuInfo,
    index=st.integers(0, 1000),
    uuid=st.just("GPU"),
    name=_words,
    mig_index=st.none() | st.integers(0, 20),
    parent=st.none() | st.just("GPU-0"),
    memory_total=_bytes,
    power_limit_w=_maybe,
    temp_slowdown_c=st.none() | st.integers(0, 200),
)


@given(READINGS, INFOS, st.integers(8, 180), st.booleans())
def test_any_reading_gives_cells_of_the_exact_width(sample: GpuSample, info: GpuInfo, width: int, plain: bool) -> None:
    columns = plan(width, 3, [info]).columns
    look = ASCII if plain else LOOK
    cells = device_cells(Device(info, sample, (HOSTILE,), selected=True), columns, look)
    assert [cell.cell_len for cell in cells] == [column.width for column in columns]
    text = "".join(cell.plain for cell in cells)
    assert "\x1b" not in text
    assert text.isascii() or not plain


def test_a_lost_gpu_says_why_across_its_columns() -> None:
    shown = draw(GpuSample(0, uuid(0), lost="GPU is lost (Xid 79)"))
    assert "lost: GPU is lost (Xid 79)" in shown.text
    assert DEFAULT_PALETTE.error in shown.styles


def test_a_device_without_a_sample_says_so() -> None:
    assert "no reading yet" in draw(None).text


@pytest.mark.parametrize("width", [38, 116])
@pytest.mark.parametrize(
    ("celsius", "shown", "style"),
    [(64.0, "64C ", ""), (84.0, "84C!", DEFAULT_PALETTE.warning), (88.0, "88C!", DEFAULT_PALETTE.error)],
)
def test_heat_is_marked_by_a_sign_and_a_style(width: int, celsius: float, shown: str, style: str) -> None:
    drawn = draw(reading(temperature_c=celsius), width=width)
    assert (shown if width < 60 else shown.replace("C", "/87C")) in drawn.text
    assert not style or style in drawn.styles


def test_bars_move_by_whole_steps_and_figures_at_once() -> None:
    steady = Steady()
    first, second, third = (
        draw(reading(memory_used=int(share * 2**30)), steady=steady).text for share in (40.0, 40.5, 46.0)
    )
    assert "40.0/80G" in first
    assert first.replace("40.0", "40.5") == second
    assert second.replace("40.5", "46.0") != third


def test_full_memory_is_marked() -> None:
    assert "79.0/80G!" in draw(reading(memory_used=79 * 2**30)).text


def test_temperatures_follow_the_unit() -> None:
    look = RenderContext(DEFAULT_PALETTE, settings=Settings(temperature_unit="F", hot_c=150))
    assert "147/189F" in draw(reading(), look=look).text


def test_stale_readings_are_muted() -> None:
    assert draw(reading(), stale=True).styles <= {DEFAULT_PALETTE.muted, DEFAULT_PALETTE.title, "", *_INDEX}


_INDEX = {DEFAULT_PALETTE.accent, DEFAULT_PALETTE.active}


def test_what_holds_a_busy_gpu_down_comes_first() -> None:
    assert limits(("idle", "power-cap", "sw-thermal")) == "THERM PWR idle"
    assert limits(()) == "-"
    assert limits(None) == "n/a"
    assert limits(("unknown-0x800",)) == "unknown-0x800"


def test_jitter_below_what_is_shown_changes_nothing() -> None:
    before = draw(reading(power_w=510.2, memory_used=61 * 2**30, utilization=95.1))
    after = draw(reading(power_w=509.8, memory_used=61 * 2**30 + 9_000_000, utilization=94.9))
    assert before.text == after.text


def test_runs_are_known_by_device_else_by_lane() -> None:
    infos = gpus(2, mig=1)
    used = devices_in_use([("a", "gpu0", ""), ("b", "gpu0", "MIG-0"), ("c", "cpu", ""), ("d", "gpu9", "")], infos)
    assert used == {uuid(0): ("a",), "MIG-0": ("b",)}


def test_mig_instances_are_indented() -> None:
    infos = gpus(1, mig=1)
    columns = plan(116, 5, infos).columns
    cells = device_cells(Device(infos[1], gpu_sample(infos[1])), columns, LOOK)
    assert cells[0].plain.startswith("  0:0")


def test_the_machine_shows_what_it_knows() -> None:
    assert "load 2.3 of 64" in host_line(host_sample(), facts().host, 100, LOOK).plain
    assert [gauge.name for gauge in host_gauges(host_sample(), facts().host)] == ["CPU", "RAM", "swap", "load", "power"]
    assert {gauge.figure for gauge in host_gauges(HostSample(), None)} == {"n/a", "n/a: no readable RAPL counter"}
    assert host_line(HostSample(), None, 20, LOOK).cell_len == 20


def test_history_leaves_out_what_is_never_known() -> None:
    infos = gpus(1, mig=1)
    samples = [sample(infos, tick) for tick in range(5)]
    assert [len(points) for track in gpu_tracks(samples, infos[0], LOOK) for _, _, points in track.lines] == [5] * 5
    assert [track.name for track in gpu_tracks(samples, infos[1], LOOK)] == ["VRAM"]
    assert [track.name for track in host_tracks(samples, None, LOOK)] == ["CPU", "RAM", "load", "CPU power"]
    assert gpu_tracks([sample(infos, 0, lost=[0])], infos[0], LOOK) == []


def test_a_run_that_loads_is_known_to_its_instance_by_the_lane() -> None:
    assert devices_in_use([("a", "gpu0:0", "")], gpus(1, mig=1)) == {"MIG-0": ("a",)}


def test_traffic_has_a_column_where_a_device_tells_it_and_one_for_sure_where_it_is_shown() -> None:
    def keys(width: int, **options: object) -> set[str]:
        return {column.key for column in plan(width, 3, gpus(1), **options).columns}  # type: ignore[arg-type]

    assert "traffic" not in keys(170)
    assert "traffic" in keys(170, traffic=True)
    assert "traffic" not in keys(78, traffic=True)
    assert "traffic" in keys(78, shown="pcie", traffic=True)
    assert "clock" in keys(78, shown="clock")


def test_traffic_is_told_in_few_cells() -> None:
    assert [rate(value) for value in (None, 0.0, 999.0, 1000.0, 310e6, 999.9e6, 1.24e9, 9.96e9, 63e9)] == [
        "n/a", "0", "999", "1.0k", "310M", "1.0G", "1.2G", "10G", "63G",
    ]  # fmt: skip
    info = gpus(1)[0]
    columns = plan(170, 3, [info], traffic=True).columns
    one = reading(pcie_rx=1.2e9, pcie_tx=None, nvlink_rx=50e9, nvlink_tx=49e9)
    for nvlink, words in ((False, "1.2G/n/a"), (True, "50G/49G")):
        assert words in "".join(cell.plain for cell in device_cells(Device(info, one, nvlink=nvlink), columns, LOOK))


def test_what_is_told_can_be_chosen_and_the_rest_cannot() -> None:
    infos = gpus(2)
    assert [one.key for one in told(sample(infos))] == ["util", "power", "vram", "temp", "clock"]
    assert [one.key for one in told(None)] == ["util"]
    linked = Sample(0, (GpuSample(0, uuid(0)), reading(pcie_rx=0.0, pcie_tx=1.0, nvlink_rx=1.0)))
    assert [one.key for one in told(linked)] == ["util", "power", "vram", "temp", "clock", "pcie"]


def test_sparks_end_with_the_newest_sample_and_leave_gaps_where_nothing_was_read() -> None:
    infos = gpus(2)
    quantity = QUANTITIES[1]
    samples = [
        sample(infos, tick, lost=[1] if tick < 115 else ()) for tick in range(60, 120) if tick not in range(80, 100)
    ]
    found = sparks(samples, infos, quantity, 12, 120.0)
    one, two = found.values[uuid(0)], found.values[uuid(1)]
    assert [value is None for value in one] == [True] * 6 + [False] * 2 + [True] * 2 + [False] * 2
    assert [value is None for value in two] == [True] * 11 + [False]
    newest = [sample(infos, tick).gpus[0].power_w or 0.0 for tick in range(110, 120)]
    assert one[-1] == pytest.approx(sum(newest) / 10)
    assert found.ranges[uuid(0)] == (0.0, 700.0)
    assert sparks([], infos, quantity, 12, 120.0).values == {}
    assert sparks(samples, (), quantity, 12, 120.0).values == {}


def test_traffic_of_all_devices_is_drawn_in_one_range_in_which_noise_stays_low() -> None:
    infos = gpus(2)

    def ranges(*rates: float) -> tuple[float, float]:
        read = tuple(
            msgspec.structs.replace(gpu_sample(info), pcie_rx=rate, pcie_tx=0.0)
            for info, rate in zip(infos, rates, strict=True)
        )
        found = sparks([Sample(10**9, read)], infos, QUANTITIES[5], 4, 120.0)
        assert found.ranges[uuid(0)] == found.ranges[uuid(1)]
        return found.ranges[uuid(0)]

    assert ranges(20e9, 1e9) == (0.0, 20e9)
    assert ranges(1e3, 0.0) == (0.0, 10e6)
