import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from rich.cells import cell_len
from support.scenes import HOSTILE

from infertui.analysis.cost.total import Demand, Price, RunCost, Terms
from infertui.analysis.cost.wording import Remedies
from infertui.measure.cost import Fleet, Saving, TokenCost
from infertui.tui.cost.view import CostView, cost_lines
from infertui.tui.themes import DEFAULT_PALETTE
from infertui.tui.widgets.cells import RenderContext

LOOK = RenderContext(DEFAULT_PALETTE)
TERMS = Terms(load=Demand(2000), budget=10_000)
COST = RunCost(
    id="run-1", name="llama bs=8", device="NVIDIA H200", gpus=1, on_gpu=True, valid=True, output_throughput=100.0,
    price=Price(3.6, "USD", "a list"), tokens=TokenCost(10.0, 2.0, 0.625, 7.5), prefill_share=0.25,
    joules_per_token=1.0, joules_per_token_above_idle=0.5, energy_source="counter of the driver",
    kwh_price=Price(0.36, "USD", "here"), electricity=0.156,
    fleet=Fleet(25, 25, 0.8, 90.0, 788_400.0), ratio=0.714, saving=Saving(0.286, 2857, 34_286), work="a",
)  # fmt: skip


def drawn(*costs: RunCost, width: int = 38, height: int = 20, terms: Terms = TERMS) -> list[str]:
    view = CostView(costs, terms, Remedies("g gives one", "g gives it"), "the base")
    lines = cost_lines(view, width, height, LOOK)
    assert len(lines) <= height
    assert all(cell_len(line.plain) <= width for line in lines)
    return [line.plain.rstrip() for line in lines]


def test_little_room_has_the_figures() -> None:
    assert drawn(COST) == [
        "llama bs=8  NVIDIA H200",
        "price       3.60 USD a GPU-hour",
        "output      10.0 USD/M, 0.71x",
        "in and out  0.625 and 7.50 USD/M",
        "blended     2.00 USD/M",
        "energy      1.00 J/tok",
        "            0.500 above idle",
        "electricity 0.156 USD/M",
        "fleet       25 GPUs for 2,000 tok/s",
        "            788,400 USD a year",
        "saving      28.6% less",
        "            34,286 USD a year",
    ]


def test_with_room_there_are_sentences() -> None:
    lines = drawn(COST, width=110, height=30)
    assert "price             3.60 USD per GPU-hour (a list)" in lines
    assert any("0.71x the baseline's" in line for line in lines)
    assert lines[-1] == "against           the base"


def test_what_is_wanted_least_gives_way_first() -> None:
    assert [line.split()[0] for line in drawn(COST, width=60, height=4)] == ["llama", "output", "fleet", "saving"]
    assert [line.split()[0] for line in drawn(COST, width=60, height=2)] == ["llama", "output"]


def test_a_missing_price_says_how_to_give_one() -> None:
    none = replace(COST, price=None, tokens=None, ratio=None, saving=None, missing="there is no price of NVIDIA B200")
    text = " ".join(drawn(none))
    assert "there is no price of NVIDIA B200; g gives one" in " ".join(text.split())
    assert "1.00 J/tok" in text
    machine = replace(none, on_gpu=False, missing="it ran on the CPU")
    assert "it ran on the CPU; g gives it" in " ".join(" ".join(drawn(machine)).split())


def test_other_work_is_said() -> None:
    assert any("0.71x of OTHER WORK" in line for line in drawn(replace(COST, unlike="b", saving=None)))
    assert any(line.startswith("! other work") for line in drawn(COST, replace(COST, unlike="b"), width=60))


def test_marked_runs_have_a_line_each() -> None:
    lines = drawn(COST, replace(COST, name="other", ratio=None, valid=False), width=50)
    assert lines[1].split() == ["llama", "bs=8", "10.0", "USD", "0.71x"]
    assert lines[2].split() == ["other", "(invalid)", "10.0", "USD", "n/a"]
    many = drawn(*[COST] * 30, height=6)
    assert len(many) == 6
    assert many[-1] == "and 26 more"


@settings(deadline=None)
@given(st.integers(1, 130), st.integers(1, 40), st.integers(1, 4), st.booleans())
def test_nothing_is_too_wide_or_too_high(width: int, height: int, count: int, known: bool) -> None:
    cost = replace(COST, name=HOSTILE, device=HOSTILE, unlike=HOSTILE)
    if not known:
        cost = replace(cost, price=None, tokens=None, missing=HOSTILE, fleet=None, no_fleet=HOSTILE)
    view = CostView((cost,) * count, TERMS, Remedies("one", "it"), HOSTILE)
    lines = cost_lines(view, width, height, LOOK)
    assert len(lines) <= height
    # Words of sentences are wrapped to ten cells at the least; a pane that narrow cuts them.
    assert all(cell_len(line.plain) <= max(width, 35) for line in lines)
    assert not any(ord(char) < 32 for line in lines for char in line.plain)


@pytest.mark.parametrize("width", [37, 38, 52, 78, 118])
def test_no_figure_is_cut_where_panes_are_wide_enough(width: int) -> None:
    assert not any("…" in line for line in drawn(COST, width=width, height=20))


def test_runs_of_one_name_go_by_their_ids() -> None:
    one, other = replace(COST, id="20260301-a", name="bs=1"), replace(COST, id="20260301-b", name="bs=1")
    lines = drawn(one, other, replace(COST, name="bs=8", ratio=0.0001))
    assert [line.split()[0] for line in lines[1:4]] == ["20260301-a", "20260301-b", "bs=8"]
    assert lines[3].endswith("<.001x")
    assert lines[0].split() == ["output,", "per", "M", "cost", "ratio"]
