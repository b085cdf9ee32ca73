"""Whether a load's figures may be believed, on both sides of each threshold."""

import pytest
from msgspec.structs import replace

from infertui.measure.load.figures import ClientFigures, LoadFigures, Steadiness, Window
from infertui.measure.load.summary import AskedLoad
from infertui.measure.load.validity import judge_load
from infertui.measure.statistics import describe
from infertui.measure.summary import Summary
from infertui.measure.validity import percent

SUMMARY = Summary(
    iterations=None,
    requests=1000,
    failed=0,
    prompt_tokens=128_000,
    output_tokens=1000,
    measured_s=10.0,
    ttft=describe([0.1] * 100),
)
CLIENT = ClientFigures(processes=1, cpu=0.1, lag_p99=0.001, lag_max=0.005, late_p50=0.0, late_p99=0.0005)
LOAD = LoadFigures(window=Window(1.0, 11.0), steadiness=Steadiness(True), in_flight=64.0, sent=1000, client=CLIENT)
CLOSED, OPEN = AskedLoad(concurrency=64), AskedLoad(rate=100.0, cv=1.0)


def client(**more: float) -> dict[str, object]:
    return {"client": replace(CLIENT, **more)}


@pytest.mark.parametrize(
    ("asked", "more", "marks", "valid"),
    [
        (CLOSED, {}, (), True),
        (CLOSED, client(late_p99=0.0009), (), True),
        (CLOSED, client(late_p99=0.002), ("client",), True),
        (CLOSED, client(late_p99=0.006), ("client",), False),
        (AskedLoad(concurrency=8, rate=100.0, cv=1.0), client(late_p99=2.0) | {"offered_rate": 50.0}, ("late",), True),
        (CLOSED, client(connect_p99=0.05, connect_mean=0.03, retried=900), (), True),
        (CLOSED, client(cpu=0.69), (), True),
        (CLOSED, client(cpu=0.8), ("client",), True),
        (CLOSED, client(cpu=0.95), ("client",), False),
        (CLOSED, client(lag_max=0.03), ("client",), True),
        (CLOSED, client(lag_max=0.2), ("client",), False),
        (CLOSED, client(lag_max=0.2) | {"window": Window(0.0, 1000.0)}, ("client",), True),
        (CLOSED, {"client": None}, (), True),
        (CLOSED, {"in_flight": 62.5}, (), True),
        (CLOSED, {"in_flight": 60.0}, ("load",), True),
        (CLOSED, {"in_flight": 32.0}, ("load",), False),
        # 100 a second that wait for 0.3 s: 30 wait, and two are missing.
        (CLOSED, {"in_flight": 32.0, "request_throughput": 100.0} | client(connect_mean=0.3), ("load",), True),
        (CLOSED, {"in_flight": 32.0, "request_throughput": 100.0} | client(connect_mean=0.2), ("load",), False),
        (OPEN, {"offered_rate": 95.0, "arrival_cv": 1.0}, (), True),
        (OPEN, {"offered_rate": 58.6, "arrival_cv": 0.65}, ("load", "arrivals"), False),
        (OPEN, {"offered_rate": 122.0, "arrival_cv": 1.0}, ("load",), False),
        (AskedLoad(rate=100.0, cv=0.0), {"offered_rate": 95.0}, ("load",), True),
        (AskedLoad(rate=100.0, cv=0.0), {"offered_rate": 100.0, "arrival_cv": 0.1}, (), True),
        (AskedLoad(rate=100.0, cv=0.0), {"offered_rate": 100.0, "arrival_cv": 1.0}, ("arrivals",), False),
        (OPEN, {"offered_rate": 2.0, "sent": 3}, (), True),
        (CLOSED, {"error_rate": 0.0005, "errors": {"http": 1}}, (), True),
        (CLOSED, {"error_rate": 0.005, "errors": {"http": 5}}, ("failures",), True),
        (CLOSED, {"error_rate": 0.02, "errors": {"http": 20}}, ("failures",), False),
        (CLOSED, {"failed_later": {"timeout": 5}}, ("failures",), True),
        (CLOSED, {"failed_later": {"timeout": 11}}, ("failures",), False),
        (CLOSED, {"other_lengths": 0.02}, ("lengths",), True),
        (CLOSED, {"other_lengths": 0.2}, ("lengths",), False),
        (AskedLoad(concurrency=64, exact_lengths=False), {"other_lengths": 0.2}, ("lengths",), True),
        (CLOSED, {"cached_share": 0.05}, ("cached",), True),
        (CLOSED, {"cached_share": 0.5}, ("cached",), False),
        (AskedLoad(concurrency=64, fresh_prompts=False), {"cached_share": 0.5}, (), True),
        # Of 128 tokens a prompt the server puts 32 there itself: a quarter.
        (AskedLoad(concurrency=64, around_tokens=32), {"cached_share": 0.25}, (), True),
        (AskedLoad(concurrency=64, around_tokens=32), {"cached_share": 0.30}, ("cached",), True),
        (AskedLoad(concurrency=64, around_tokens=32), {"cached_share": 0.40}, ("cached",), False),
        (CLOSED, {"steadiness": Steadiness(False, "never settled: it rose")}, ("unsteady",), False),
        (CLOSED, {"steadiness": Steadiness(None, "too few requests")}, ("few",), True),
        (CLOSED, {"littles_ratio": 0.5, "counted": {"chunks": 5}, "local_ratio": 1.1, "undetermined": 2}, (), True),
    ],
)
def test_each_threshold_from_both_sides(
    asked: AskedLoad, more: dict[str, object], marks: tuple[str, ...], valid: bool
) -> None:
    verdict = judge_load(SUMMARY, replace(LOAD, **more), asked)
    assert verdict.marks == marks
    assert verdict.valid == valid


def test_nothing_is_no_measurement() -> None:
    nothing = replace(SUMMARY, requests=0, ttft=None)
    assert not judge_load(nothing, LoadFigures(Window(0.0, 0.0), Steadiness(None, "no request ended")), CLOSED).valid


def test_remarks_say_what_a_reader_should_know() -> None:
    odd = replace(LOAD, littles_ratio=0.5, counted={"chunks": 5}, local_ratio=1.1, undetermined=1)
    notes = " ".join(judge_load(SUMMARY, odd, CLOSED).notes)
    for word in ("0.50 times", "chunks", "1.100 times", "1 request has"):
        assert word in notes


@pytest.mark.parametrize(
    ("share", "text"),
    [(1.0, "100 %"), (3531 / 3548, "99.5 %"), (0.99999, "99.9 %"), (0.994, "99 %"), (0.5, "50 %"), (0.001, "0.1 %")],
)
def test_what_is_not_all_is_not_shown_as_all(share: float, text: str) -> None:
    assert percent(share) == text


def test_that_the_server_hangs_up_is_told_and_is_not_the_client() -> None:
    seen = replace(LOAD, client=replace(CLIENT, connect_p99=0.0021, connect_mean=0.002, retried=37))
    (note,) = judge_load(SUMMARY, seen, CLOSED).notes
    assert "waited 2.1 ms or more for a connection" in note
    assert "closed 37 kept ones" in note
    assert judge_load(SUMMARY, replace(LOAD, client=replace(CLIENT, connect_p99=0.0009)), CLOSED).notes == ()
