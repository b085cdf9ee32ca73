"""Objectives as they are typed: what is meant, what is refused, and that a half-typed one is an error and no more."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infertui.errors import ConfigError
from infertui.measure.load.slo import LATENCIES, STATISTICS, SloTerm, parse_slo

WHOLE = "ttft.p99<200ms tpot.mean<=20ms e2e<1.5s, itl.p99 < 900 us ttfo:300"


def test_every_form_is_understood() -> None:
    terms = parse_slo(WHOLE).terms
    assert [(term.name, term.equal) for term in terms] == [
        ("ttft.p99", False),
        ("tpot.mean", True),
        ("e2e", False),
        ("itl.p99", False),
        ("ttfo", False),
    ]
    assert [term.limit_s for term in terms] == pytest.approx([0.2, 0.02, 1.5, 0.0009, 0.3])


def test_vllms_form_counts_in_milliseconds_and_names_have_aliases() -> None:
    assert parse_slo("ttft:200 tpot:20 e2el:2000") == parse_slo("ttft<200ms tpot<20ms latency<2s")
    assert parse_slo("TTFT.Median<1S") == parse_slo("ttft.p50<1000ms")
    assert parse_slo("itl<5µs") == parse_slo("itl<5us") == parse_slo("itl<5μs")


def test_nothing_is_no_objective() -> None:
    assert parse_slo("").terms == parse_slo(" , ").terms == ()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("ttft", "has no limit"),
        ("ttft.p99<", "has no limit"),
        ("ttft<200", "has no unit"),
        ("ttft<200m", "is no unit"),
        ("ttft<0ms", "above 0"),
        ("ttft<1e400s", "above 0"),
        ("ttft<-1ms", "is no objective"),
        ("ttft<.ms", "has no limit"),
        ("ttft>200ms", "there is no latency"),
        ("tttf<200ms", "there is no latency"),
        ("ttft.p98<200ms", "there is no statistic"),
        ("ttft.<200ms", "there is no statistic"),
        ("ttft<200mstpot<20ms", "is no"),
        ("ttft<200ms ttft<100ms", "two limits"),
        ("e2e<1s latency<1s", "two limits"),
        ("<200ms", "there is no latency"),
        ("ttft\x1b[2J<200ms", "there is no latency"),
        ("ttft<200ms" + " " * 1000, "too many"),
        (" ".join(f"{name}{dot}<1s" for name in LATENCIES for dot in ("", ".mean", ".p50", ".p90")), "more than 16"),
    ],
)
def test_what_is_wrong_is_named(text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told) as caught:
        parse_slo(text)
    assert caught.value.path == "load.slo"
    assert "ttft" in caught.value.allowed
    assert "\x1b" not in caught.value.message


@pytest.mark.parametrize("end", range(len(WHOLE)))
def test_every_half_typed_objective_is_understood_or_refused(end: int) -> None:
    with contextlib.suppress(ConfigError):
        parse_slo(WHOLE[:end])


@given(st.text(alphabet="ttftpo.e2meanp959<=:0 ,ms\x00µ\n٣", max_size=60) | st.text(max_size=60))
def test_no_text_does_anything_else(text: str) -> None:
    with contextlib.suppress(ConfigError):
        parse_slo(text)


@given(
    st.lists(
        st.builds(
            SloTerm,
            st.sampled_from(LATENCIES),
            st.sampled_from(STATISTICS),
            st.floats(min_value=1e-6, max_value=1e6),
            st.booleans(),
        ),
        max_size=8,
        unique_by=lambda term: term.name,
    )
)
def test_what_is_told_can_be_typed_again(terms: list[SloTerm]) -> None:
    told = parse_slo(" ".join(term.text for term in terms)).terms
    assert [term.name for term in told] == [term.name for term in terms]
    for term, again in zip(terms, told, strict=True):
        assert again.limit_s == pytest.approx(term.limit_s, rel=1e-9)
        assert again.equal == term.equal


def test_a_limit_is_kept_below_it_or_up_to_it() -> None:
    assert not SloTerm("ttft", "", 0.2).kept(0.2)
    assert SloTerm("ttft", "", 0.2, equal=True).kept(0.2)
