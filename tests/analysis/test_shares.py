"""Shares of the limits of a line: as of the whole result, and of whatever a file may hold."""

from functools import cache
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from support.called import PACKAGE, modules_called
from support.structs import values_of

from infertui.analysis.limits import DERIVED_BY, derivation, limits_of, shares_of_line
from infertui.measure.summary import Summary
from infertui.results.result import Result
from infertui.targets.engine.base import EffectiveSettings, Loaded

KEPT = Path(__file__).parents[2] / "reports" / "h200-engines" / "results.jsonl"


@cache
def lines() -> list[bytes]:
    return KEPT.read_bytes().splitlines()


def test_they_are_those_of_the_result() -> None:
    for line in lines():
        limits = limits_of(msgspec.json.decode(line, type=Result))
        assert limits is not None
        assert shares_of_line(line) == {"mbu": limits.mbu, "mfu": limits.mfu}


@pytest.mark.parametrize("line", [b"", b"{", b"[1]", b"\xff\n", b'{"id": "x"}', b'{"a":' * 100_000, b"null"])
def test_a_line_that_is_no_result_has_none(line: bytes) -> None:
    assert shares_of_line(line) == {}


@pytest.mark.parametrize("key", ["tensor_parallel", "quantization", "mode"])
@pytest.mark.parametrize("word", ["9" * 5000, "", "-1", "٣", "²", "\x1b[31m", "0"])
def test_an_option_may_be_said_to_be_anything(key: str, word: str) -> None:
    result = msgspec.json.decode(lines()[0], type=Result)
    assert result.effective
    odd = replace(result, effective=replace(result.effective, settings={**result.effective.settings, key: word}))
    limits_of(odd)
    assert all(share is None or share > 0 for share in shares_of_line(msgspec.json.encode(odd)).values())


@pytest.mark.parametrize("layers", ["1 of " + "9" * 5000, "9" * 5000 + " of 1", "of", " of ", "٣ of ٤"])
def test_layers_may_be_said_to_be_any_number(layers: str) -> None:
    result = msgspec.json.decode(lines()[0], type=Result)
    assert result.loaded
    odd = replace(result, loaded=replace(result.loaded, offloaded_layers=layers))
    assert limits_of(odd) is not None
    shares_of_line(msgspec.json.encode(odd))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    loaded=values_of(Loaded), summary=values_of(Summary), effective=values_of(EffectiveSettings), at=st.integers(0, 64)
)
def test_a_line_may_hold_anything(loaded: Loaded, summary: Summary, effective: EffectiveSettings, at: int) -> None:
    result = msgspec.json.decode(lines()[at], type=Result)
    for odd in (
        replace(result, loaded=loaded),
        replace(result, summary=summary),
        replace(result, effective=effective),
        replace(result, loaded=loaded, summary=summary, effective=effective),
    ):
        assert all(share is None or share >= 0 for share in shares_of_line(msgspec.json.encode(odd)).values())


def test_the_version_is_that_of_the_devices_figures() -> None:
    assert derivation() is derivation()
    assert len(derivation().version) == 16


def test_all_code_that_works_them_out_is_in_the_version() -> None:
    bare = [msgspec.json.encode(msgspec.json.decode(line) | {"limits": None}) for line in lines()]
    called = modules_called(lambda: [shares_of_line(line) for line in bare])
    assert called
    assert called <= {file for pattern in DERIVED_BY for file in PACKAGE.glob(pattern)}
