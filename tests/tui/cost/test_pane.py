from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from support.fake_control import FakeControl
from support.pane_bench import Act, Bench, act
from support.results import make_results, write_results
from support.results_stage import StoredControl
from support.scenes import client_state
from support.screens import app_over, drive, text_of
from support.settled import settled
from textual.pilot import Pilot

from infertui.analysis.cost.prices import load_prices, user_file
from infertui.errors import InfertuiError
from infertui.results.details import RunDetails
from infertui.tui.cost.pane import CostPane
from infertui.tui.settings.stored import Settings
from infertui.tui.state import ALL_TOPICS

GOOD = [
    made
    for made in make_results(40)
    if made.state == "finished" and made.verdict.valid and made.power and made.power.domain == "gpu"
]
RESULTS = {made.id: made for made in GOOD}
FIRST, SECOND = GOOD[0], GOOD[1]


class Stored(FakeControl):
    """Answers with the results made up here."""

    async def details(self, out: str, run: str) -> RunDetails:
        self._ask("details", out, run)
        return RunDetails(run, f"{out}/{run}", "", result=RESULTS.get(run))


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this user's prices would be."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return user_file()


def bench(**options: Any) -> Bench:
    return Bench(CostPane, client_state(), control=Stored(), **options)


async def look(bench: Bench, pilot: Pilot[None], *runs: str) -> None:
    """The cursor in Results came to these, and has rested."""
    bench.pane.look_at(runs)
    bench.pane.read()
    await settled(bench)
    await pilot.pause()


def play(steps: Act, *, size: tuple[int, int] = (60, 24), **options: Any) -> Bench:
    made = bench(**options)
    act(made, steps, size=size)
    return made


def test_the_run_under_the_cursor() -> None:
    async def steps(bench: Bench, pilot: Pilot[None]) -> None:
        assert "No run is chosen" in bench.text
        await look(bench, pilot, FIRST.id)
        assert FIRST.name in bench.text
        assert "3.59 USD a GPU-hour" in bench.text
        assert "l: a fleet for a load" in bench.text
        await look(bench, pilot, SECOND.id)
        assert SECOND.name in bench.text
        await look(bench, pilot, FIRST.id)
        assert [call[1][1] for call in bench.calls] == [FIRST.id, SECOND.id]  # what was read is known

    play(steps)


def test_results_that_changed_are_read_again() -> None:
    async def steps(bench: Bench, pilot: Pilot[None]) -> None:
        await look(bench, pilot, FIRST.id)
        bench.client_state.results_version += 1
        bench.pane.show(ALL_TOPICS)
        await look(bench, pilot, FIRST.id)
        assert len(bench.calls) == 2

    play(steps)


def test_load_budget_and_electricity_are_typed_in_place_and_kept() -> None:
    async def steps(bench: Bench, pilot: Pilot[None]) -> None:
        await look(bench, pilot, FIRST.id)
        await pilot.press("l", *"20k tok/s", "enter")
        await pilot.press("b", *"10000", "enter")
        await pilot.press("e", *"0.5", "enter")
        await pilot.pause()
        assert bench.settings.load == "20k tok/s"
        assert bench.settings.monthly_budget == 10_000
        assert bench.settings.electricity == 0.5
        assert "for 20,000 tok/s" in bench.text
        await pilot.press("l", "ctrl+u", "enter")
        await pilot.pause()
        assert bench.settings.load == ""
        assert "for 20,000 tok/s" not in bench.text
        assert bench.told == []

    play(steps)


def test_what_cannot_be_is_said_and_the_line_stays(own: Path) -> None:
    async def steps(bench: Bench, pilot: Pilot[None]) -> None:
        await look(bench, pilot, FIRST.id)
        for keys, said in (
            (("l", *"many"), "load"), (("b", *"-3"), "the budget"), (("e", *"x"), "the price"),
            (("u", *"euros"), "no currency"), (("g", "ctrl+u", *"2.5 e"), "no currency"),
        ):  # fmt: skip
            await pilot.press(*keys, "enter")
            await pilot.pause()
            assert said in str(bench.told[-1][1])
            await pilot.press("escape")
        assert bench.settings == Settings()

    play(steps)
    assert not own.exists()


def test_a_price_is_kept_for_that_gpu_with_the_users_prices(own: Path) -> None:
    async def steps(bench: Bench, pilot: Pilot[None]) -> None:
        await look(bench, pilot, FIRST.id)
        await pilot.press("g", "ctrl+u", *"2.5 eur", "enter")
        await pilot.pause()
        assert "2.50 EUR a GPU-hour" in bench.text
        assert "0.19" not in bench.text

    play(steps)
    found = load_prices().of_gpu("NVIDIA H200")
    assert found is not None
    assert (found.price, found.currency) == (2.5, "EUR")
    assert own.exists()


def test_without_a_price_it_says_how_to_give_one() -> None:
    assert FIRST.loaded is not None
    RESULTS["odd"] = replace(FIRST, id="odd", loaded=replace(FIRST.loaded, device_name="NVIDIA Odd"))
    RESULTS["cpu"] = replace(FIRST, id="cpu", loaded=replace(FIRST.loaded, device="cpu", device_name="Some CPU"))

    async def steps(bench: Bench, pilot: Pilot[None]) -> None:
        await look(bench, pilot, "odd")
        words = " ".join(bench.text.replace("│", " ").split())
        assert "there is no price of NVIDIA Odd; g here gives one" in words
        await look(bench, pilot, "cpu")
        assert "what that machine costs an hour is not known; g here gives it" in " ".join(
            bench.text.replace("│", " ").split()
        )
        await pilot.press("g", *"0.40 USD", "enter")
        await pilot.pause()
        assert "0.40 USD an hour" in bench.text

    play(steps)


def test_marked_runs_and_the_baseline() -> None:
    async def steps(bench: Bench, pilot: Pilot[None]) -> None:
        await look(bench, pilot, FIRST.id, SECOND.id)
        assert "2 marked" in bench.text
        assert "1.00x" not in bench.text
        shown = [line for line in bench.text.splitlines() if " USD" in line]
        assert len(shown) == 2
        assert "x" in shown[1].split("USD")[1]

    play(steps, settings=Settings(baseline=FIRST.id))


def test_a_run_without_a_result_and_a_runner_that_does_not_answer() -> None:
    async def steps(bench: Bench, pilot: Pilot[None]) -> None:
        await look(bench, pilot, "gone")
        assert "no result that can be read" in bench.text
        bench.fake.failures["details"] = InfertuiError("no connection [/foo]")
        await look(bench, pilot, FIRST.id)
        assert "no connection [/foo]" in bench.text

    play(steps)


def test_a_wrong_file_of_prices_is_told_instead_of_a_cost(own: Path) -> None:
    own.parent.mkdir(parents=True)
    own.write_text('[[gpu]]\nname = "x"\nprice = "y"\ncurrency = "EUR"\n')

    async def steps(bench: Bench, pilot: Pilot[None]) -> None:
        await look(bench, pilot, FIRST.id)
        assert "'y' is not allowed" in bench.text

    play(steps, size=(100, 20))


def test_nothing_is_read_while_nobody_sees_it() -> None:
    async def steps(bench: Bench, pilot: Pilot[None]) -> None:
        bench.pane.display = False
        bench.pane.look_at((FIRST.id,))
        assert bench.pane._due is None
        assert bench.calls == []

    play(steps)


@pytest.mark.parametrize("size", [(38, 12), (58, 10), (80, 13), (120, 38), (20, 5)])
def test_every_size_is_drawn(size: tuple[int, int]) -> None:
    kept = Settings(load="5 req/s", monthly_budget=10_000, baseline=SECOND.id)

    async def steps(bench: Bench, pilot: Pilot[None]) -> None:
        await look(bench, pilot, FIRST.id)
        assert FIRST.name[:10] in bench.text
        if size[0] >= 38:
            assert "…" not in bench.text

    play(steps, size=size, settings=kept)


def test_ascii() -> None:
    async def steps(bench: Bench, pilot: Pilot[None]) -> None:
        await look(bench, pilot, FIRST.id)
        inside = "\n".join(line.strip("│╭╮╰╯─ ") for line in bench.text.splitlines()[1:-1])
        assert inside.isascii()

    play(steps, ascii_only=True)


def test_settings_that_make_no_sense_are_told() -> None:
    async def steps(bench: Bench, pilot: Pilot[None]) -> None:
        await look(bench, pilot, FIRST.id)
        assert "the load lots is not understood" in bench.text
        assert "the currency euro is no currency" in bench.text

    play(steps, settings=Settings(load="lots", currency="euro"))


def test_it_follows_the_cursor_in_results(tmp_path: Path) -> None:
    ids = write_results(tmp_path / "reports", 12, folders=12)
    app = app_over(StoredControl(tmp_path / "reports"), tmp_path)

    def in_pane() -> str:
        at = app.stage.pane("cost").region
        return "\n".join(line[at.x : at.right] for line in text_of(app).splitlines()[at.y : at.bottom])

    async def shown(pilot: Pilot[None], name: str) -> None:
        for _ in range(400):
            if name in in_pane():
                return
            await pilot.pause()
        raise AssertionError(f"{name} is not in:\n{text_of(app)}")

    async def steps(pilot: Pilot[None]) -> None:
        await pilot.press("7", "5")
        names = [made.name for made in make_results(12)]
        assert len(ids) == len(names)
        await shown(pilot, names[-1])  # the newest stands first
        await pilot.press("j")
        await shown(pilot, names[-2])
        assert app.stage.active == "results"

    drive(app, steps)
