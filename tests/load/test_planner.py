"""Plans: equal for equal descriptions, the same whole of any parts, and requests that begin in their own way."""

from itertools import islice
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infertui.config.endpoint import LoadConfig
from infertui.config.schema import WorkloadConfig
from infertui.load.plan import LoadPlan, PlannedRequest
from infertui.load.planner import plan_of

LOADS: list[dict[str, Any]] = [
    {},
    {"concurrency": 8, "lengths": "normal", "length_spread": 0.3},
    {"request_rate": 20.0},
    {"request_rate": 20.0, "arrival": "gamma", "burstiness": 0.5, "ramp_s": 3.0, "shared_prefix": 0.5},
    {"request_rate": 20.0, "turns": 3, "lengths": "uniform", "length_spread": 0.5},
]


def plan(num_prompts: int = 0, seed: int = 0, salt: int = 0, **load: Any) -> LoadPlan:
    workload = WorkloadConfig(prompts="random", input_len=64, output_len=32, num_prompts=num_prompts, seed=seed)
    return plan_of(LoadConfig(**load), workload, salt=salt)


def first(made: LoadPlan, count: int, **of: int) -> list[PlannedRequest]:
    return list(islice(made.requests(**of), count))


@settings(max_examples=30)
@given(st.sampled_from(LOADS), st.integers(1, 9), st.integers(0, 60), st.integers(0, 100))
def test_the_union_of_parts_is_the_whole_in_any_order(load: dict[str, Any], parts: int, begin: int, seed: int) -> None:
    made = plan(num_prompts=150, seed=seed, **load)
    assert made.count == 150
    whole = list(made.requests())
    assert [request.index for request in whole] == list(range(150))
    divided = [list(made.requests(part, parts, begin)) for part in reversed(range(parts))]
    assert sorted((one for part in divided for one in part), key=lambda one: one.index) == whole[begin:]
    for part in divided:
        assert [one.index for one in part] == sorted(one.index for one in part)
    again = plan(num_prompts=150, seed=seed, **load)
    assert list(again.requests(parts - 1, parts, begin)) == divided[0]


def test_it_is_without_end_where_no_count_is_given() -> None:
    assert plan().count is None
    assert first(plan(), 1, first=10**9)[0].index == 10**9


def test_a_closed_loop_has_no_due_times_and_an_open_one_ascending_ones() -> None:
    assert {request.due for request in first(plan(concurrency=4), 50)} == {None}
    times = [request.due for request in first(plan(request_rate=100), 500)]
    assert all(time is not None for time in times)
    assert times == sorted(times, key=lambda time: time or 0)


def test_lengths_are_those_that_were_asked_for() -> None:
    for request in first(plan(), 20):
        assert (request.prompt_tokens, request.output_tokens) == (64, 32)
        assert len(request.prompt.split()) == 64


def test_texts_begin_apart_and_differ_between_salts_while_lengths_and_times_stay() -> None:
    load: dict[str, Any] = {"request_rate": 10.0, "lengths": "normal", "length_spread": 0.4}
    one, other = first(plan(**load), 300), first(plan(salt=1, **load), 300)
    assert len({request.prompt.split()[0] for request in one[:256]}) == 256
    assert len({tuple(request.prompt.split()[:2]) for request in one}) == 300
    assert not {tuple(request.prompt.split()[:4]) for request in one} & {
        tuple(request.prompt.split()[:4]) for request in other
    }
    for mine, theirs in zip(one, other, strict=True):
        assert (mine.due, mine.prompt_tokens, mine.output_tokens) == (
            theirs.due,
            theirs.prompt_tokens,
            theirs.output_tokens,
        )


def test_a_shared_prefix_is_that_of_all_and_no_more() -> None:
    prompts = [request.prompt.split() for request in first(plan(shared_prefix=0.25), 100)]
    assert len({tuple(words[:16]) for words in prompts}) == 1
    assert len({words[16] for words in prompts}) == 100
    assert len({request.prompt for request in first(plan(shared_prefix=1.0), 10)}) == 1


def test_turns_of_a_conversation_wait_for_one_another_and_stay_together() -> None:
    requests = first(plan(request_rate=30.0, turns=3), 3000)
    for request in requests:
        assert (request.conversation, request.turn) == divmod(request.index, 3)
        assert request.previous == (request.index - 1 if request.turn else None)
        assert (request.due is None) == (request.turn > 0)
    last = requests[-3].due
    assert last is not None
    # As many requests a second as were asked for: 1,000 conversations in about 100 s.
    assert last == pytest.approx(100, rel=0.15)
    assert {
        request.conversation % 4 for request in first(plan(turns=3), 30, part=2, parts=4) if request.conversation
    } == {2}


def test_the_last_conversation_is_cut_where_requests_are_counted() -> None:
    assert [request.turn for request in plan(num_prompts=5, turns=3).requests()] == [0, 1, 2, 0, 1]


def test_a_plan_of_steps_ends_with_them() -> None:
    made = plan(request_rate=1.0, arrival="constant", steps="10:2,20:1")
    assert made.count is None
    assert len(list(made.requests())) == 40


def test_adjusting_changes_what_follows() -> None:
    made = plan(request_rate=10.0, arrival="constant")
    changed = made.adjusted(2.05, request_rate=100.0, output_len=7, input_len=5, shared_prefix=1.0)
    before, after = first(made, 21), first(changed, 5, first=21)
    assert [request.due for request in before[-2:]] == [1.9, 2.0]
    assert [request.due for request in after] == pytest.approx([2.055, 2.065, 2.075, 2.085, 2.095])
    assert {(request.prompt_tokens, request.output_tokens, request.prompt) for request in after} == {
        (5, 7, after[0].prompt)
    }
    assert len(after[0].prompt.split()) == 5


def test_given_prompts_are_taken_as_they_are_and_in_turn() -> None:
    made = plan_of(LoadConfig(), WorkloadConfig(), ["one", "two two"])
    assert [(request.prompt, request.prompt_tokens) for request in first(made, 3)] == [
        ("one", None),
        ("two two", None),
        ("one", None),
    ]
