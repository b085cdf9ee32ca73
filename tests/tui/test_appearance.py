import pytest

from infertui.tui.appearance import Mouse


@pytest.mark.parametrize(
    ("chosen", "over_ssh", "for_panes"),
    [("on", True, True), ("off", False, False), ("auto", False, True), ("auto", True, False)],
)
def test_whose_it_is_at_first(chosen: str, over_ssh: bool, for_panes: bool) -> None:
    reported: list[bool] = []
    assert Mouse(chosen, over_ssh=over_ssh, report=reported.append).wanted is for_panes
    assert not reported


def test_it_is_switched_for_now_and_chosen_for_good() -> None:
    reported: list[bool] = []
    mouse = Mouse("auto", over_ssh=True, report=reported.append)
    assert [mouse.switch(), mouse.wanted, mouse.switch()] == [True, False, False]
    mouse.choose("on")
    assert [mouse.wanted, mouse.switch(), mouse.wanted] == [True, False, True]
    assert reported == [True, False, True, False]
