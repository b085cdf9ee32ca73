"""Which request comes next, when conversations have turns: by a model of what is allowed."""

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from infertui.load.plan import PlannedRequest
from infertui.targets.endpoint.dialect import ChatMessage
from infertui.worker.loadgen.turns import Staged, Turns

History = tuple[ChatMessage, ...]


def plan(conversations: int, turns: int) -> Iterator[PlannedRequest]:
    for index in range(conversations * turns):
        conversation, turn = divmod(index, turns)
        yield PlannedRequest(
            index, f"question {index}", conversation=conversation, turn=turn, previous=index - 1 if turn else None
        )


def make(planned: PlannedRequest, history: History) -> tuple[History, bytes]:
    messages = (*history, ChatMessage("user", planned.prompt))
    return messages, "|".join(message.content for message in messages).encode()


def following(turns: Turns) -> Staged | None:
    """As one that sends takes them."""
    staged = turns.released()
    while staged is None and turns.peek() is not None:
        staged = turns.take()
    return staged


@given(
    conversations=st.integers(0, 5),
    turns=st.integers(1, 5),
    level=st.integers(1, 4),
    ahead=st.integers(1, 20),
    picks=st.lists(st.tuples(st.integers(0, 100), st.booleans()), max_size=40),
)
def test_every_turn_follows_the_answer_before_it_or_is_left_out(
    conversations: int, turns: int, level: int, ahead: int, picks: list[tuple[int, bool]]
) -> None:
    source = Turns(plan(conversations, turns), make, turns=turns, ahead=ahead, ahead_bytes=1 << 20)
    under_way: list[Staged] = []
    said: dict[int, str] = {}
    failed: set[int] = set()
    sent: list[int] = []
    choices = iter(picks)
    while True:
        while source.wants_more and source.stage():
            pass
        while len(under_way) < level and (staged := following(source)) is not None:
            sent.append(staged.planned.index)
            first = staged.planned.index - staged.planned.turn
            expected = [
                text for before in range(first, staged.planned.index) for text in (f"question {before}", said[before])
            ]
            assert staged.wire.decode().split("|") == [*expected, staged.planned.prompt]
            under_way.append(staged)
        if not under_way:
            break
        pick, fails = next(choices, (0, False))
        ended = under_way.pop(pick % len(under_way))
        said[ended.planned.index] = f"answer {ended.planned.index}"
        if fails:
            failed.add(ended.planned.index)
        source.answered(ended.planned, ended.messages, None if fails else said[ended.planned.index])
    left_out = {
        index
        for index in range(conversations * turns)
        if any(before in failed for before in range(index - index % turns, index))
    }
    assert sorted(sent) == [index for index in range(conversations * turns) if index not in left_out]
    assert source.skipped == len(left_out)
    assert source.over


def test_a_conversation_of_a_thousand_turns_that_fails_at_once() -> None:
    source = Turns(plan(1, 1000), make, turns=1000, ahead=16, ahead_bytes=1 << 20)
    first = following(source)
    assert first is not None
    assert following(source) is None  # all others wait
    source.answered(first.planned, first.messages, None)
    assert following(source) is None
    assert source.skipped == 999
    assert source.over


def test_no_more_is_made_ahead_than_was_asked_for() -> None:
    source = Turns(plan(100, 1), make, turns=1, ahead=100, ahead_bytes=50)
    while source.wants_more:
        source.stage()
    taken = 0
    while source.peek() is not None and not source.wants_more:
        assert source.take() is not None
        taken += 1
    assert 1 <= taken <= 5  # of ten bytes and more each


def test_another_plan_goes_on_where_the_first_was_left() -> None:
    source = Turns(plan(10, 1), make, turns=1, ahead=4, ahead_bytes=1 << 20)
    first = [following(source) for _ in range(3)]
    source.replan(lambda index: iter([PlannedRequest(index, "other"), PlannedRequest(index + 1, "other")]))
    after = [following(source) for _ in range(3)]
    assert [staged.planned.index for staged in first if staged] == [0, 1, 2]
    assert [(staged.planned.index, staged.planned.prompt) for staged in after if staged] == [(3, "other"), (4, "other")]
