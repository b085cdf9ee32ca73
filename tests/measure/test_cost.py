import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from infertui.measure.cost import (
    Purchase,
    TokenCost,
    against,
    electricity_cost,
    fleet,
    prefill_share,
    saving,
    share_of_throughput,
    throughput_of_share,
    token_cost,
)

_money, _rate, _share = st.floats(0.01, 1e4), st.floats(0.01, 1e6), st.floats(0.001, 0.999)


def test_cost_of_tokens_worked_by_hand() -> None:
    # 3.60 an hour is 0.001 a second. 100 generated and 400 prompt tokens a second; a quarter of the time is prefill.
    found = token_cost(3.6, 100, prompt_rate=400, prefill_share=0.25)
    assert found.output == pytest.approx(10.0)  # 0.001 / 100 x 1e6
    assert found.blended == pytest.approx(2.0)  # 0.001 / 500 x 1e6
    assert found.prefill == pytest.approx(0.625)  # 0.00025 / 400 x 1e6
    assert found.decode == pytest.approx(7.5)  # 0.00075 / 100 x 1e6


@given(_money, _rate, _rate, _share)
def test_all_ways_to_charge_give_the_same_bill(per_hour: float, output: float, prompt: float, share: float) -> None:
    found = token_cost(per_hour, output, prompt_rate=prompt, prefill_share=share)
    bill = per_hour / 3600 * 1e6
    assert found.output * output == pytest.approx(bill)
    assert found.blended is not None
    assert found.blended * (output + prompt) == pytest.approx(bill)
    assert found.prefill is not None
    assert found.decode is not None
    assert found.prefill * prompt + found.decode * output == pytest.approx(bill)


def test_without_ttft_or_prompts_there_is_no_split() -> None:
    plain = token_cost(3.6, 100)
    assert plain == TokenCost(plain.output)
    assert plain.output == pytest.approx(10.0)
    assert token_cost(3.6, 100, prompt_rate=400).prefill is None
    assert token_cost(3.6, 100, prompt_rate=0, prefill_share=0.5).decode is None
    with pytest.raises(ValueError, match="needs tokens"):
        token_cost(3.6, 0)


def test_prefill_is_the_time_until_first_tokens() -> None:
    assert prefill_share(0.5, batches=10, measured_s=20) == 0.25
    assert prefill_share(0.5, batches=10, measured_s=5) is None  # nothing would be left for decoding
    assert prefill_share(0.5, batches=10, measured_s=0) is None


def test_electricity_worked_by_hand() -> None:
    # 7.2 MJ are 2 kWh; the building takes half as much again.
    assert electricity_cost(7.2e6, 0.30) == pytest.approx(0.60)
    assert electricity_cost(7.2e6, 0.30, pue=1.5) == pytest.approx(0.90)


def test_a_fleet_worked_by_hand() -> None:
    # 2000 tok/s with a fifth kept free, from replicas of 2 GPUs that do 900: 2000 / 720 = 2.8, so 3, 74 % used.
    found = fleet(2000, 900, gpus_each=2, gpu_hour=2.5, headroom=0.2)
    assert (found.replicas, found.gpus) == (3, 6)
    assert found.utilisation == pytest.approx(2000 / 2700)
    assert found.per_hour == 15.0
    assert found.per_year == 15 * 8760
    assert fleet(2000, 900, gpus_each=2, gpu_hour=None).per_year is None


def test_a_load_that_fits_exactly_takes_no_more() -> None:
    assert fleet(2000, 1000, gpus_each=1, gpu_hour=1).gpus == 2
    assert fleet(0.3 * 7, 0.3, gpus_each=1, gpu_hour=1).gpus == 7
    for load, capacity, headroom in ((0, 1, 0), (1, 0, 0), (1, 1, 1)):
        with pytest.raises(ValueError, match="a fleet needs"):
            fleet(load, capacity, gpus_each=1, gpu_hour=1, headroom=headroom)


@given(_rate, _rate, st.floats(0, 0.9))
def test_a_fleet_is_enough_and_one_less_is_not(load: float, capacity: float, headroom: float) -> None:
    assume(load / capacity < 1e6)
    found = fleet(load, capacity, gpus_each=1, gpu_hour=1, headroom=headroom)
    usable = capacity * (1 - headroom)
    assert found.replicas * usable >= load * (1 - 1e-6)
    assert found.replicas == 1 or (found.replicas - 1) * usable < load
    assert found.utilisation <= 1 - headroom + 1e-6


def test_forty_percent_of_ten_thousand_a_month() -> None:
    """40 % lower cost on 10 k a month is 48 k a year; 40 % more throughput frees 28.6 % of it, 34.3 k."""
    assert saving(0.40, 10_000).yearly == pytest.approx(48_000)
    assert saving(0.40, 10_000).monthly == pytest.approx(4_000)
    freed = share_of_throughput(0.40)
    assert freed == pytest.approx(0.2857, abs=1e-4)
    assert saving(freed, 10_000).yearly == pytest.approx(34_286, abs=1)
    assert throughput_of_share(0.40) == pytest.approx(2 / 3)  # what 40 % lower cost takes


@given(st.floats(-0.9, 50))
def test_gain_and_saving_are_each_others_inverse(gain: float) -> None:
    assert throughput_of_share(share_of_throughput(gain)) == pytest.approx(gain, abs=1e-6)


def test_nothing_costs_nothing() -> None:
    with pytest.raises(ValueError, match="throughput"):
        share_of_throughput(-1)
    with pytest.raises(ValueError, match="cost"):
        throughput_of_share(1)


def test_eight_h100_on_demand_are_128_percent_above_buying_them() -> None:
    """276 k$ a year on demand against 121 k$: a server of 310 k$ over 3 years, 10.2 kW, PUE 1.56, 0.1275 $/kWh."""
    bought = Purchase(price=310_000, years=3, power_w=10_200, per_kwh=0.1275, pue=1.56)
    assert bought.written_off == pytest.approx(103_333, abs=1)
    assert bought.electricity == pytest.approx(10.2 * 8760 * 1.56 * 0.1275)  # 17,772
    found = against(8, 3.94, bought)
    assert found.on_demand == pytest.approx(276_115, abs=1)  # 8 x 3.94 x 8760
    assert found.purchase == pytest.approx(121_105, abs=1)
    assert found.excess == pytest.approx(1.28, abs=0.0005)
    # (276,115 - 17,772) / 12 = 21,529 a month are not paid in rent: 310,000 of them are together after 14.4 months.
    assert found.break_even_months == pytest.approx(14.4, abs=0.01)
    assert found.break_even_hours == pytest.approx(121_105 / 276_115, abs=1e-5)


def test_what_never_pays_for_itself_has_no_break_even() -> None:
    found = against(1, 0.01, Purchase(price=1000, years=5, power_w=1000, per_kwh=0.3, upkeep=0.1))
    assert found.break_even_months is None
    assert found.excess < 0
    assert found.break_even_hours > 1
    with pytest.raises(ValueError, match="two prices"):
        against(8, 0, Purchase(price=1000, years=5))


@given(st.integers(1, 64), _money, st.floats(1, 1e7), st.floats(0.5, 10), st.floats(0, 1e5), st.floats(0, 1))
def test_at_break_even_both_have_cost_the_same(
    gpus: int, gpu_hour: float, price: float, years: float, watts: float, per_kwh: float
) -> None:
    bought = Purchase(price, years, watts, per_kwh, pue=1.3, upkeep=0.02)
    found = against(gpus, gpu_hour, bought)
    assume(found.break_even_months is not None and found.break_even_months < 1e6)
    assert found.break_even_months is not None
    rented = gpus * gpu_hour * 8760 / 12 * found.break_even_months
    running = (bought.electricity + price * 0.02) / 12 * found.break_even_months
    assert rented == pytest.approx(price + running, rel=1e-6)
