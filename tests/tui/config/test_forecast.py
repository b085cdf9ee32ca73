"""One question at a time, and no answer to an old one."""

from infertui.config.parse import decode
from infertui.runner.control import Forecast
from infertui.tui.config.forecast import ForecastRequest

ONE, TWO = decode({}), decode({"workload": {"batch_size": 2}})
YES, NO = Forecast(("fits",), True), Forecast(("does not",), False)


def test_an_answer_to_what_is_still_asked_counts() -> None:
    question = ForecastRequest()
    assert question.change(ONE)
    assert question.take() is ONE
    assert question.answered(YES)
    assert question.answer is YES
    assert not question.waiting
    assert not question.change(ONE)
    assert question.answer is YES


def test_an_answer_to_an_old_question_is_dropped_and_the_new_one_asked() -> None:
    question = ForecastRequest()
    question.change(ONE)
    assert question.take() is ONE
    assert question.change(TWO)
    assert question.take() is None
    assert not question.answered(YES)
    assert question.answer is None
    assert question.take() is TWO
    assert question.answered(NO)
    assert question.answer is NO


def test_what_cannot_run_is_not_asked_about() -> None:
    question = ForecastRequest()
    question.change(ONE)
    question.take()
    assert not question.change(None)
    assert not question.answered(YES)
    assert question.take() is None
    assert question.answer is None
    assert not question.waiting
    assert not question.repeat()


def test_trouble_is_kept_until_asked_again() -> None:
    question = ForecastRequest()
    question.change(ONE)
    question.take()
    assert question.answered(None, "offline")
    assert question.trouble == "offline"
    assert question.repeat()
    assert question.take() is ONE
    assert question.answered(YES)
    assert question.trouble == ""
