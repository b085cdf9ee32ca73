"""The comparison of engines tells a wrong token from a tie, and names both."""

from support.parity import Expected, mismatches

LOGITS = ([0.0, 5.0, 4.9999, 1.0], [3.0, 0.0, 0.0, 2.0])
REFERENCE = {"p": Expected((7,), (1, 0), LOGITS)}


def found(*ids: int) -> list[str]:
    return [str(mismatch) for mismatch in mismatches("some engine", {"p": ids}, REFERENCE, first=2, tie=0.001)]


def test_the_same_tokens_are_no_mismatch() -> None:
    assert found(1, 0) == []
    assert found(1, 0, 3, 3) == []


def test_a_tie_is_told_as_one() -> None:
    assert found(2, 3) == [
        "some engine: prompt 'p', position 0: expected 1, got 2; "
        "the reference's logits are 0.0001 apart, a tie that rounding decides"
    ]


def test_a_wrong_token_is_told_with_how_wrong_it_is() -> None:
    assert found(1, 3) == [
        "some engine: prompt 'p', position 1: expected 0, got 3; "
        "the reference's logits are 1 apart, no tie: a wrong token"
    ]


def test_tokens_that_are_missing_or_none_are_wrong() -> None:
    assert found(1) == ["some engine: prompt 'p', position 1: expected 0, got None; it gave no token"]
    assert found(9) == ["some engine: prompt 'p', position 0: expected 1, got 9; there is no such token"]
    assert found(-1)[0].endswith("there is no such token")
    assert list(mismatches("some engine", {}, REFERENCE, first=2, tie=1.0))


def test_a_margin_is_to_the_next_best() -> None:
    assert REFERENCE["p"].margin(1) == 1.0
