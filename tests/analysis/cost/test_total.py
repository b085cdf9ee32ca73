from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from support.results import as_imported, make_results

from infertui.analysis.cost.prices import ElectricityPrice, GpuPrice, Prices, ServerPrice
from infertui.analysis.cost.total import Demand, Price, RunCost, Terms, beside, run_cost
from infertui.analysis.cost.wording import HEADINGS, Remedies, cost_rows, notes, table
from infertui.config.schema import EngineConfig, WorkloadConfig
from infertui.measure.itl import Gaps
from infertui.measure.statistics import describe
from infertui.results.result import PowerFigures, Result

H200 = GpuPrice("NVIDIA H200", 3.6, "USD", "a list", "2026-03")
SERVER = ServerPrice(
    name="8x H100 SXM", price=310_000, currency="USD", gpus=8, power_w=10_200, gpu_power_w=700, source="quotes"
)
PRICES = Prices((H200,), (SERVER,), (ElectricityPrice("here", 0.36, "USD", "x", "2026"),))
REMEDIES = Remedies("GIVE ONE", "GIVE IT")
POWER = PowerFigures(
    "gpu", "counter", window_s=20.0, energy_j=2000.0, mean_power_w=100.0, idle_power_w=50.0, joules_per_token=1.0
)
GAPS = Gaps(990, 0.015, 0.01, 0.02, 0.015, 0.016, 0.018, {}, tokens=990)


def result(device: str = "NVIDIA H200", where: str = "cuda:0", **summary: Any) -> Result:
    """Ten batches of two requests of 100 tokens in 20 s: 100 tok/s; half a second of each is TTFT; 400 prompt tok/s."""
    made = next(one for one in make_results(50) if one.state == "finished" and one.summary.itl and one.verdict.valid)
    counts: dict[str, Any] = {
        "iterations": 10, "requests": 20, "failed": 0, "prompt_tokens": 8000, "output_tokens": 2000, "measured_s": 20.0,
        "output_throughput": 100.0, "total_throughput": 500.0, "ttft": describe([0.5] * 10), "itl": GAPS,
    }  # fmt: skip
    assert made.loaded is not None
    return replace(
        made,
        loaded=replace(made.loaded, device=where, device_name=device),
        config=replace(
            made.own_config, engine=EngineConfig(), workload=WorkloadConfig(batch_size=2, output_len=100, input_len=400)
        ),
        power=POWER,
        summary=replace(made.summary, **{**counts, **summary}),
    )


def test_a_run_worked_by_hand() -> None:
    # 3.60 an hour are 0.001 a second; a quarter of the time is prefill; 1 J/tok is 0.2778 kWh a million, x 1.56 x 0.36.
    cost = run_cost(result(), PRICES, Terms(load=Demand(250), budget=10_000))
    assert cost.tokens is not None
    assert cost.tokens.output == pytest.approx(10.0)
    assert cost.tokens.blended == pytest.approx(2.0)
    assert cost.tokens.prefill == pytest.approx(0.00025 / 400 * 1e6)
    assert cost.tokens.decode == pytest.approx(7.5)
    assert cost.electricity == pytest.approx(0.156)
    assert cost.fleet is not None
    assert cost.fleet.gpus == 4  # 250 / (100 x 0.8) = 3.1
    assert cost.joules_per_token_above_idle == pytest.approx(0.5)
    assert (cost.price, cost.missing, cost.no_split) == (Price(3.6, "USD", "a list, 2026-03"), "", "")


def test_the_rows_say_it_with_its_sources() -> None:
    terms = Terms(load=Demand(5, requests=True), budget=10_000)
    rows = dict(cost_rows(run_cost(result(), PRICES, terms), terms, REMEDIES))
    assert rows == {
        "price": "3.60 USD per GPU-hour (a list, 2026-03)",
        "output tokens": "10.0 USD per million, all of the time charged to them",
        "in and out": "0.625 USD per million input tokens and 7.50 USD per million output tokens: 25.0% of the time"
        " passed until first tokens",
        "blended": "2.00 USD per million tokens, input and output alike",
        "energy": "1.00 J/tok (0.500 above idle): counter of the driver",
        "electricity": "0.156 USD per million output tokens: the GPU alone, at 0.36 USD/kWh (here, x, 2026), PUE 1.56",
        # 20 requests in 20 s are 1 a second; 5 / 0.8 = 6.25
        "fleet": "7 GPUs for 5.00 req/s, 20% kept free; 71% of what they can do: 25.2 USD an hour, 220,752 USD a year",
    }


def test_given_prices_come_before_listed_ones() -> None:
    cost = run_cost(result(), PRICES, Terms(gpu_hour=7.2, currency="EUR", electricity=0.72, pue=1.0))
    assert cost.price == Price(7.2, "EUR", "as given")
    assert cost.tokens is not None
    assert cost.tokens.output == pytest.approx(20.0)
    assert cost.kwh_price == Price(0.72, "EUR", "as given")
    assert cost.electricity == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("device", "where", "terms", "said"),
    [
        ("NVIDIA B200", "cuda:0", Terms(), "n/a: there is no price of NVIDIA B200; GIVE ONE"),
        ("NVIDIA H200 MIG 1g.18gb", "cuda:0", Terms(), "there is no price of NVIDIA H200 MIG 1g.18gb"),
        ("NVIDIA H200", "cuda:0", Terms(currency="EUR"), "NVIDIA H200 has a price in USD, not in EUR"),
        ("AMD EPYC", "cpu", Terms(), "it ran on the CPU, and what that machine costs an hour is not known; GIVE IT"),
    ],
)
def test_a_missing_price_is_not_made_up(device: str, where: str, terms: Terms, said: str) -> None:
    cost = run_cost(result(device, where), PRICES, terms)
    assert (cost.price, cost.tokens) == (None, None)
    rows = dict(cost_rows(cost, terms, REMEDIES))
    assert said in rows["price"]
    assert "output tokens" not in rows
    assert any(said.removeprefix("n/a: ") in note for note in notes([cost], REMEDIES))
    assert table([cost])[0][HEADINGS.index("per M output")] == "n/a"


def test_a_cpu_has_the_price_of_its_machine_where_one_is_listed_or_given() -> None:
    listed = Prices((GpuPrice("AMD EPYC", 1.8, "EUR"),))
    cost = run_cost(result("AMD EPYC", "cpu"), listed, Terms())
    assert cost.tokens is not None
    assert cost.tokens.output == pytest.approx(5.0)
    assert "machine-hour" in dict(cost_rows(cost, Terms(), REMEDIES))["price"]
    assert run_cost(result("x", "cpu"), PRICES, Terms(gpu_hour=3.6)).tokens is not None


def test_several_gpus_cost_several_times_as_much() -> None:
    made = result()
    two = replace(made, config=replace(made.own_config, engine=EngineConfig(tensor_parallel=2)))
    cost = run_cost(two, PRICES, Terms(load=Demand(250)))
    assert cost.tokens is not None
    assert cost.tokens.output == pytest.approx(20.0)
    assert cost.fleet is not None
    assert (cost.fleet.replicas, cost.fleet.gpus) == (4, 8)
    assert dict(cost_rows(cost, Terms(), REMEDIES))["price"].endswith("2 GPUs: 7.20 USD an hour")


@pytest.mark.parametrize(
    ("summary", "why"),
    [
        ({"ttft": None}, "TTFT is not known"),
        # A scheduler's requests have gaps of their own: twice as many as the batches' steps.
        ({"itl": replace(GAPS, count=1980, tokens=1980)}, "its requests prefill while others decode"),
        ({"itl": None}, "there is no decoding to tell it from"),
        ({"ttft": describe([3.0] * 10)}, "its TTFTs overlap"),
    ],
)
def test_what_cannot_be_split_is_blended_and_says_why(summary: dict[str, Any], why: str) -> None:
    cost = run_cost(result(**summary), PRICES, Terms())
    assert cost.tokens is not None
    assert (cost.tokens.prefill, cost.tokens.decode) == (None, None)
    assert cost.tokens.blended == pytest.approx(2.0)
    rows = dict(cost_rows(cost, Terms(), REMEDIES))
    assert "in and out" not in rows
    assert rows["blended"].endswith(f"they cannot be told apart: {why}")


def test_a_failed_batch_does_not_count_as_prefill() -> None:
    # 8 of 10 batches went well: 8 x 0.5 s of 16 s.
    cost = run_cost(result(failed=4, measured_s=16.0, itl=replace(GAPS, count=792, tokens=792)), PRICES, Terms())
    assert cost.prefill_share == pytest.approx(0.25)


def test_a_run_that_measured_nothing_says_so() -> None:
    cost = run_cost(result(output_throughput=None, output_tokens=0), PRICES, Terms(load=Demand(10)))
    assert (cost.tokens, cost.fleet, cost.missing) == (None, None, "it measured no throughput")
    assert cost.electricity is None
    unpriced = run_cost(result("NVIDIA B200", output_throughput=None, output_tokens=0), PRICES, Terms())
    assert notes([unpriced], REMEDIES) == [f"{unpriced.id}: it measured no throughput"]
    assert dict(cost_rows(cost, Terms(load=Demand(10)), REMEDIES))["fleet"] == "n/a: it measured no throughput"


def test_beside_a_baseline() -> None:
    terms = Terms(budget=10_000)
    base = run_cost(result(), PRICES, terms)
    cost = beside(run_cost(result(output_throughput=140.0), PRICES, terms), base, terms)
    assert cost.ratio == pytest.approx(1 / 1.4)
    assert cost.saving is not None
    assert cost.saving.yearly == pytest.approx(34_285.7, abs=0.1)
    rows = dict(cost_rows(cost, terms, REMEDIES))
    assert rows["saving"] == "the baseline's work for 28.6% less: 2,857 USD of 10,000 USD a month, 34,286 USD a year"
    slower = beside(run_cost(result(output_throughput=50.0), PRICES, terms), base, terms)
    assert "for 100.0% more: 10,000 USD of" in dict(cost_rows(slower, terms, REMEDIES))["saving"]


def test_other_work_saves_nothing_and_says_so() -> None:
    terms, made = Terms(budget=10_000), result()
    other = replace(made, config=replace(made.own_config, workload=replace(made.own_config.workload, output_len=50)))
    cost = beside(run_cost(other, PRICES, terms), run_cost(made, PRICES, terms), terms)
    assert cost.saving is None
    rows = dict(cost_rows(cost, terms, REMEDIES))
    assert "did OTHER work" in rows["output tokens"]
    assert rows["saving"] == "n/a: the baseline did other work"
    assert any("NOT the first run's work" in note for note in notes([cost], REMEDIES))


def test_two_currencies_have_no_ratio() -> None:
    base = run_cost(result(), PRICES, Terms())
    assert beside(run_cost(result(), PRICES, Terms(gpu_hour=1, currency="EUR")), base, Terms()).ratio is None


_any = st.none() | st.floats()


@settings(deadline=None)
@given(
    st.tuples(st.text(), st.text(), st.text()), st.tuples(_any, _any, _any, st.floats(), st.integers(-9, 99)),
    st.sampled_from([Terms(), Terms(gpu_hour=1.0, load=Demand(10), budget=1.0, electricity=0.1)]),
)  # fmt: skip
def test_whatever_a_file_holds_the_rows_are_safe_to_print(
    names: tuple[str, str, str], numbers: tuple[float | None, float | None, float | None, float, int], terms: Terms
) -> None:
    made = replace(result(names[0]), id=names[1], name=names[2])
    output, total, joules, measured, failed = numbers
    made = replace(
        made,
        power=replace(POWER, energy_j=joules),
        summary=replace(
            made.summary, output_throughput=output, total_throughput=total, measured_s=measured, failed=failed
        ),
    )
    cost: RunCost = run_cost(made, PRICES, terms)
    words = [*cost_rows(cost, terms, REMEDIES), *table([beside(cost, cost, terms)]), notes([cost], REMEDIES)]
    assert not any(ord(char) < 32 or 127 <= ord(char) < 160 for row in words for cell in row for char in cell)


def test_what_an_imported_file_does_not_tell_is_not_made_up() -> None:
    untold = ("engine.tensor_parallel", "summary.prompt_tokens", "summary.requests", "workload.output_len")
    made = as_imported(result(), *untold)
    terms = Terms(load=Demand(5, requests=True), budget=1000)
    cost = beside(run_cost(made, PRICES, terms), run_cost(made, PRICES, terms), terms)
    assert cost.tokens is not None
    assert (cost.tokens.blended, cost.tokens.prefill) == (None, None)
    rows = dict(cost_rows(cost, terms, REMEDIES))
    assert "one GPU taken: how many there were is not told" in rows["price"]
    assert rows["fleet"] == "n/a: how many requests a second it did is not known"
    assert rows["saving"] == "n/a: what was generated is not told"
    assert "out (not told)" in rows["output tokens"]
