import pytest

from infertui.analysis.cost.total import Demand, parse_load, parse_percent
from infertui.errors import UsageError


@pytest.mark.parametrize(
    ("text", "load"),
    [
        ("2000 tok/s", Demand(2000)), ("20k", Demand(20_000)), ("1.5M tokens/s", Demand(1.5e6)),
        ("2,000", Demand(2000)), ("5 req/s", Demand(5, requests=True)), ("0.5 RPS", Demand(0.5, requests=True)),
    ],
)  # fmt: skip
def test_loads(text: str, load: Demand) -> None:
    assert parse_load(text) == load


@pytest.mark.parametrize("text", ["", "0", "-3", "many", "5 apples", "nan", "1e99", "\x1b[31m"])
def test_a_load_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="load") as caught:
        parse_load(text)
    assert "\x1b" not in str(caught.value)


def test_percentages() -> None:
    assert parse_percent("40%", "--gain", low=0, high=10) == pytest.approx(0.4)
    assert parse_percent(" 2.5 % ", "--gain", low=0, high=10) == pytest.approx(0.025)
    for text in ("40", "1000%", "-1%", "x"):
        with pytest.raises(UsageError, match="--gain"):
            parse_percent(text, "--gain", low=0, high=10)
