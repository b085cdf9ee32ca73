"""Two sets of outputs, prompt by prompt."""

from hypothesis import given
from hypothesis import strategies as st

from infertui.measure.quality import Agreement, agreement

OUTPUTS = st.dictionaries(st.sampled_from("abcd"), st.lists(st.integers(0, 3), max_size=6))


def test_where_they_part() -> None:
    reference = {"a": [1, 2, 3, 4], "b": [1, 2], "c": [5], "only here": [1]}
    other = {"a": [1, 2, 9, 4], "b": [1, 2, 3], "c": [5], "only there": [1]}
    found = agreement(reference, other)
    assert found == Agreement(prompts=3, equal=1, share=6 / 7, diverged={"a": 2, "b": 2}, first_divergence=2)
    assert not found.exact


def test_nothing_to_compare_agrees_in_nothing() -> None:
    found = agreement({"a": [1]}, {"b": [1]})
    assert (found.prompts, found.share, found.first_divergence, found.exact) == (0, None, None, False)
    assert agreement({"a": []}, {"a": []}).share is None


@given(OUTPUTS, OUTPUTS)
def test_both_ways_tell_the_same(one: dict[str, list[int]], two: dict[str, list[int]]) -> None:
    found = agreement(one, two)
    assert found == agreement(two, one) or set(found.diverged) == set(agreement(two, one).diverged)
    for prompt, at in found.diverged.items():
        assert one[prompt][:at] == two[prompt][:at]
        assert one[prompt][at : at + 1] != two[prompt][at : at + 1]
    assert found.equal == sum(one[prompt] == two.get(prompt) for prompt in one)


@given(OUTPUTS)
def test_everything_agrees_with_itself(outputs: dict[str, list[int]]) -> None:
    found = agreement(outputs, outputs)
    assert (found.equal, found.diverged) == (len(outputs), {})
    assert found.share in (1.0, None)
