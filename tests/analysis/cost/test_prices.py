from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infertui.analysis.cost.prices import GpuPrice, is_currency, keep_gpu_price, load_prices, parse, user_file
from infertui.errors import ConfigError
from infertui.text import clean

GPU = '[[gpu]]\nname = "NVIDIA H200"\nprice = 2.5\ncurrency = "EUR"\n'


def environ(home: Path, text: str = "") -> dict[str, str]:
    found = {"XDG_CONFIG_HOME": str(home)}
    if text:
        user_file(found).parent.mkdir(parents=True, exist_ok=True)
        user_file(found).write_text(text, encoding="utf-8")
    return found


def test_every_shipped_price_has_its_source_and_date(tmp_path: Path) -> None:
    prices = load_prices(environ(tmp_path))
    assert {"NVIDIA H200", "NVIDIA H100 80GB HBM3", "NVIDIA L4"} <= {one.name for one in prices.gpus}
    for one in (*prices.gpus, *prices.servers, *prices.electricity):
        assert one.source
        assert one.date[:3] == "202"
        assert one.price > 0
        assert "approximate" in one.source


def test_a_price_is_of_that_device_alone(tmp_path: Path) -> None:
    prices = load_prices(environ(tmp_path))
    assert prices.of_gpu("nvidia l4") is not None
    for other in ("NVIDIA L40", "NVIDIA H200 MIG 1g.18gb", "NVIDIA GeForce RTX 4090 Laptop GPU", ""):
        assert prices.of_gpu(other) is None


def test_the_users_prices_lie_over_the_shipped_ones_by_name(tmp_path: Path) -> None:
    text = GPU + '[[electricity]]\nname = "home"\nprice = 0.31\ncurrency = "EUR"\n'
    prices = load_prices(environ(tmp_path, text))
    found = prices.of_gpu("NVIDIA H200")
    assert found is not None
    assert (found.price, found.currency) == (2.5, "EUR")
    assert found.source == f"your {tmp_path}/infertui/prices.toml"
    assert prices.of_gpu("NVIDIA L4") is not None
    assert sum(one.name == "NVIDIA H200" for one in prices.gpus) == 1
    home = prices.of_electricity("EUR")
    assert home is not None
    assert home.name == "home"
    assert prices.of_electricity("CHF") is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GPU.replace("2.5", '"2.5"'), "gpu 'NVIDIA H200'.price: '2.5' is not allowed; allowed: a number"),
        (GPU.replace("2.5", "-1"), "gpu 'NVIDIA H200'.price: -1 is not allowed"),
        (GPU.replace("2.5", "nan"), "price: nan is not allowed"),
        (GPU.replace("2.5", "inf"), "price: inf is not allowed"),
        (GPU.replace("2.5", "true"), "price: True is not allowed"),
        (GPU.replace("EUR", "euro"), "currency: 'euro' is not allowed; allowed: three capitals"),
        (GPU.replace("price", "prise"), "prise: there is no such key; allowed: name, price"),
        (GPU.replace("price = 2.5\n", ""), "gpu 'NVIDIA H200'.price: is missing"),
        (GPU.replace('"NVIDIA H200"', '" "'), "name: ' ' is not allowed"),
        (GPU + GPU, "'NVIDIA H200' stands twice"),
        ("gpus = 3", "gpus: there is no such table; allowed: [[gpu]]"),
        ("gpu = 3", "gpu: 3 is no list of tables"),
        ("gpu = [3]", "gpu: [3] is no list of tables"),
        ("[[gpu]\n", "is not TOML"),
        ('[[server]]\nname="x"\nprice=1\ncurrency="USD"\ngpus=0\npower_w=1', "server 'x'.gpus: 0 is not allowed"),
        ('[[gpu]]\nname = "\\u001b[31mx"\nprice = -1\ncurrency = "EUR"', "price: -1"),
    ],
)
def test_what_is_wrong_names_file_key_and_value(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_prices(environ(tmp_path, text))
    assert said in str(caught.value)
    assert str(tmp_path / "infertui" / "prices.toml") in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_names_from_a_file_are_made_harmless(tmp_path: Path) -> None:
    prices = parse(b'[[gpu]]\nname = "a\\u001b[31mb\\nc"\nprice = 1\ncurrency = "EUR"\n', "f")
    assert prices.gpus[0].name == "ab c"


def test_a_price_that_is_kept_leaves_all_else_as_it_is(tmp_path: Path) -> None:
    before = f'# mine\n\n{GPU}\n# the rest\n[[gpu]]\nname = "other"   # aside\nprice = 1\ncurrency = "EUR"\n'
    home = environ(tmp_path, before)
    path = user_file(home)
    keep_gpu_price("NVIDIA H200", 3.25, "USD", date="2026-11", path=path)
    text = path.read_text()
    assert "# mine" in text
    assert 'name = "other"   # aside' in text
    assert "2.5" not in text
    assert load_prices(home).of_gpu("NVIDIA H200") == GpuPrice("NVIDIA H200", 3.25, "USD", "given by you", "2026-11")
    assert [one.name for one in path.parent.iterdir()] == ["prices.toml"]


def test_a_first_price_makes_the_file(tmp_path: Path) -> None:
    home = environ(tmp_path)
    keep_gpu_price('odd "name" [x]', 1, "EUR", date="2026-11", path=user_file(home))
    found = load_prices(home).of_gpu('odd "name" [x]')
    assert found is not None
    assert found.price == 1


def test_a_file_that_is_wrong_is_not_written_over(tmp_path: Path) -> None:
    home = environ(tmp_path, "[[gpu]\n")
    with pytest.raises(ConfigError, match="not TOML"):
        keep_gpu_price("x", 1, "EUR", date="2026-11", path=user_file(home))
    assert user_file(home).read_text() == "[[gpu]\n"


@settings(deadline=None, max_examples=50)
@given(
    st.lists(
        st.tuples(st.text(min_size=1, max_size=20).filter(lambda text: clean(text).strip()), st.floats(0, 1e6)),
        max_size=6,
    )
)
def test_the_last_price_of_a_name_is_the_one_that_counts(
    tmp_path_factory: pytest.TempPathFactory, given_prices: list[tuple[str, float]]
) -> None:
    path = tmp_path_factory.mktemp("prices") / "prices.toml"
    expected: dict[str, float] = {}
    for name, price in given_prices:
        keep_gpu_price(name, price, "USD", date="2026-11", path=path)
        shown = parse(path.read_bytes(), "f").gpus[-1]
        expected[shown.name.casefold()] = price
    if given_prices:
        assert {one.name.casefold(): one.price for one in parse(path.read_bytes(), "f").gpus} == expected


def test_currencies() -> None:
    assert is_currency("EUR")
    assert not any(map(is_currency, ("eur", "EURO", "€", "", "ÄÖÜ")))
