from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infertui.config.schema import MeasurementConfig, WorkloadConfig
from infertui.errors import ConfigError
from infertui.load.batches import BatchSource, EncodedPrompt, fit_length, iterations_of
from infertui.models.tokenizers import ByteTokenizer

TEXTS = ("one", "two words", "three words here", "four", "five")


def source(
    prompts: Sequence[str] = TEXTS, *, special: Sequence[int] = (), vocabulary: int = 259, **workload: int
) -> BatchSource:
    return BatchSource(
        WorkloadConfig(**workload),  # type: ignore[arg-type]
        prompts,
        encode=ByteTokenizer().encode,
        vocabulary=vocabulary,
        special_ids=special,
    )


def texts(batch: Sequence[EncodedPrompt]) -> list[str]:
    return [request.text for request in batch]


@given(st.integers(1, 12), st.integers(0, 50))
def test_prompts_come_in_order_and_start_over(batch_size: int, index: int) -> None:
    batch = source(batch_size=batch_size).batch(index)
    first = index * batch_size
    assert texts(batch) == [TEXTS[number % len(TEXTS)] for number in range(first, first + batch_size)]


def test_a_batch_is_the_same_whenever_it_is_asked_for() -> None:
    forwards, backwards = source(batch_size=3), source(batch_size=3)
    assert [forwards.batch(n) for n in range(9)] == [backwards.batch(n) for n in reversed(range(9))][::-1]


def test_prompts_are_encoded_once() -> None:
    seen: list[str] = []

    def encode(text: str) -> list[int]:
        seen.append(text)
        return [1, 2]

    batches = BatchSource(WorkloadConfig(batch_size=4), TEXTS, encode=encode, vocabulary=10)
    for index in range(10):
        batches.batch(index)
    assert sorted(seen) == sorted(TEXTS)


def test_prompts_keep_their_ids_and_lengths_as_they_come() -> None:
    for request in source(batch_size=5).batch(0):
        assert bytes(request.ids).decode() == request.text


@given(st.integers(1, 70), st.integers(1, 4))
def test_prompts_have_exactly_the_length_asked_for(input_len: int, batch_size: int) -> None:
    for request in source(input_len=input_len, batch_size=batch_size).batch(2):
        assert len(request.ids) == input_len
        whole = request.text.encode() * input_len
        assert bytes(request.ids) == whole[:input_len]


@given(st.lists(st.integers(0, 99), min_size=1), st.integers(0, 200))
def test_fit_length(ids: list[int], length: int) -> None:
    fitted = list(fit_length(ids, length))
    assert len(fitted) == (length or len(ids))
    assert all(token == ids[position % len(ids)] for position, token in enumerate(fitted))


def test_a_prompt_without_tokens_is_refused_safely() -> None:
    batches = BatchSource(WorkloadConfig(), ["\x1b[2J\u202e"], encode=lambda _: [], vocabulary=10)
    with pytest.raises(ConfigError, match="has no tokens") as caught:
        batches.batch(0)
    assert str(caught.value).isprintable()


@given(st.integers(0, 2**31 - 1), st.integers(0, 100), st.integers(1, 5))
def test_random_ids_are_the_same_for_a_seed(seed: int, index: int, batch_size: int) -> None:
    one, other = (source((), input_len=32, seed=seed, batch_size=batch_size) for _ in range(2))
    assert one.batch(index) == other.batch(index)
    assert texts(one.batch(index)) == [""] * batch_size


def test_random_ids_do_not_depend_on_the_batching() -> None:
    alone = [source((), input_len=16).batch(index)[0] for index in range(8)]
    together = [request for index in range(2) for request in source((), input_len=16, batch_size=4).batch(index)]
    assert alone == together


def test_random_ids_of_a_seed_stay_what_they_are() -> None:
    """Results are compared across versions: the ids that a seed stands for are part of the format."""
    (request,) = source((), input_len=6, seed=7).batch(0)
    assert request.ids == (181, 8, 253, 94, 188, 73)


def test_every_request_has_random_ids_of_its_own() -> None:
    first, second = (source((), input_len=32, seed=seed, batch_size=4) for seed in (1, 2))
    ids = [request.ids for drawn in (first, second) for index in range(10) for request in drawn.batch(index)]
    assert len(set(ids)) == len(ids)


@given(st.sets(st.integers(0, 40), max_size=38), st.integers(0, 20))
def test_random_ids_are_of_the_vocabulary_and_never_special(special: set[int], index: int) -> None:
    (request,) = source((), input_len=200, vocabulary=40, special=sorted(special)).batch(index)
    assert len(request.ids) == 200
    assert set(request.ids) <= set(range(40)) - special


def test_random_ids_use_the_whole_vocabulary() -> None:
    drawn = source((), input_len=500, vocabulary=20, special=(0, 7, 19))
    assert {token for index in range(4) for token in drawn.batch(index)[0].ids} == set(range(20)) - {0, 7, 19}


@pytest.mark.parametrize(
    ("workload", "measurement", "pool", "expected"),
    [
        ({}, {}, 0, 5),
        ({}, {}, 3, 5),
        ({}, {}, 16, 16),
        ({"batch_size": 4}, {}, 16, 5),
        ({"batch_size": 4}, {}, 33, 9),
        ({"num_prompts": 10}, {}, 16, 10),
        ({"num_prompts": 10, "batch_size": 4}, {}, 16, 3),
        ({"num_prompts": 1, "batch_size": 4}, {}, 0, 1),
        ({"num_prompts": 10}, {"iterations": 2}, 16, 2),
        ({}, {"iterations": 1}, 16, 1),
    ],
)
def test_iterations(workload: dict[str, int], measurement: dict[str, int], pool: int, expected: int) -> None:
    assert iterations_of(WorkloadConfig(**workload), MeasurementConfig(**measurement), pool) == expected  # type: ignore[arg-type]


@given(st.integers(1, 64), st.integers(0, 1000))
def test_by_default_every_prompt_is_measured(batch_size: int, pool: int) -> None:
    count = iterations_of(WorkloadConfig(batch_size=batch_size), MeasurementConfig(), pool)
    assert count * batch_size >= pool
    assert count >= 5
    assert count == 5 or (count - 1) * batch_size < pool
