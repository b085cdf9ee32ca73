import asyncio
import tomllib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from support.fake_control import FakeControl
from support.results import make_results, write_results
from support.results_stage import ResultsStage, StoredControl
from support.settled import settled
from textual.pilot import Pilot

from infertui.errors import EngineError
from infertui.results.index import ResultPage, ResultQuery
from infertui.results.runs import Store
from infertui.runner.control import Submission
from infertui.tui.results.columns_dialog import ColumnsScreen
from infertui.tui.results.pane import ResultsPane
from infertui.tui.settings.stored import Settings
from infertui.tui.widgets.prompt import LineInput
from infertui.tui.widgets.rowlist import RowList

Act = Callable[["Scene"], Awaitable[None]]


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "TEXTUAL_THEME", "TEXTUAL_FPS"):
        monkeypatch.delenv(name, raising=False)


class Scene:
    """The pane on a stage, and hands for its keys."""

    def __init__(self, app: ResultsStage, pilot: Pilot[Any]) -> None:
        self.app, self.pilot = app, pilot
        self.pane = app.query_one(ResultsPane)
        self.list = self.pane.query_one(RowList)

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.settle()

    async def type(self, text: str) -> None:
        await self.press(*(_NAMES.get(char, char) for char in text))

    async def filter(self, text: str) -> None:
        """As if it had been pasted."""
        await self.press("slash")
        self.pane.query_one(LineInput).value = text
        await self.settle()

    async def settle(self) -> None:
        await settled(self.app)
        await self.pilot.pause()
        await settled(self.app)
        await self.pilot.pause()

    async def results_changed(self) -> None:
        self.app.client_state.results_version += 1
        self.pane.show(frozenset({"results"}))
        await self.settle()

    @property
    def lines(self) -> list[str]:
        strips = self.app.screen._compositor.render_strips(self.app.size)
        return ["".join(segment.text for segment in strip).rstrip() for strip in strips]

    @property
    def title(self) -> str:
        return str(self.pane.border_title)

    @property
    def asked(self) -> list[ResultQuery]:
        return [call[1][0] for call in self.app.fake.calls if call[0] == "results"]  # type: ignore[misc]


_NAMES = {" ": "space", ":": "colon", ">": "greater_than_sign", "<": "less_than_sign", "!": "exclamation_mark",
          "=": "equals_sign", "-": "minus", "/": "slash", ".": "full_stop", "[": "left_square_bracket"}  # fmt: skip


def play(out: Path, act: Act, *, size: tuple[int, int] = (120, 30), **options: Any) -> ResultsStage:
    app = ResultsStage(out, lambda stage: ResultsPane(stage, id="results"), **options)

    async def scenario() -> None:
        async with app.run_test(size=size) as pilot:
            scene = Scene(app, pilot)
            scene.pane.focus_inside()
            await scene.settle()
            await act(scene)

    asyncio.run(scenario())
    return app


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "reports"
    write_results(folder, 250, folders=5)
    return folder


def test_the_newest_runs_are_shown_first(out: Path) -> None:
    async def act(scene: Scene) -> None:
        newest = max(make_results(250), key=lambda result: result.started)
        assert scene.list.current_key == newest.id
        assert "Results  250" in scene.title
        assert scene.lines[-1].endswith("1 of 250 ━┛")
        await scene.press("j", "j")
        assert scene.lines[-1].endswith("3 of 250 ━┛")
        assert any("started" in line and "▼" in line for line in scene.lines)

    play(out, act)


def test_a_move_of_the_cursor_paints_two_rows_and_the_frame(out: Path) -> None:
    async def act(scene: Scene) -> None:
        await scene.press("j")
        painted: list[set[int]] = []
        render = scene.app.screen._compositor.render_update

        def noted(*args: Any, **options: Any) -> Any:
            painted.append({y for region in scene.app.screen._compositor._dirty_regions for y in region.line_range})
            return render(*args, **options)

        scene.app.screen._compositor.render_update = noted  # type: ignore[method-assign]
        await scene.press("j")
        assert set().union(*painted) <= {3, 4, 29}

    play(out, act)


def test_scrolling_to_the_end_fetches_what_comes_into_view(out: Path) -> None:
    async def act(scene: Scene) -> None:
        await scene.press("G")
        assert scene.list.current_key == next(iter(make_results(1))).id
        assert not any(line.strip("┃▸ ") == "…" for line in scene.lines), "every row has come"
        assert {query.offset for query in scene.asked} == {0, 100, 200}

    play(out, act, size=(160, 30))


def test_there_is_one_request_at_a_time(out: Path) -> None:
    under_way: list[int] = []

    class Slow(StoredControl):
        busy = 0

        async def results(self, query: ResultQuery) -> ResultPage:
            self.busy += 1
            under_way.append(self.busy)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            self.busy -= 1
            return await super().results(query)

    async def act(scene: Scene) -> None:
        await scene.press("pagedown", "pagedown", "S", "s", "G", "g", "H", "pagedown")

    play(out, act, control=Slow(out))
    assert set(under_way) == {1}


def test_a_filter_acts_while_it_is_typed_enter_keeps_it_and_esc_clears_it(out: Path) -> None:
    async def act(scene: Scene) -> None:
        await scene.press("slash")
        await scene.type("qwen b>=8")
        expected = [
            r
            for r in make_results(250)
            if "qwen" in r.own_config.model.id.lower() and r.own_config.workload.batch_size >= 8
        ]
        assert f"{len(expected)} of 250  / qwen b>=8" in scene.title
        await scene.press("enter")
        assert scene.list.has_focus
        assert f"{len(expected)} of 250" in scene.title
        await scene.press("slash", "escape")
        assert "Results  250" in scene.title

    play(out, act)


def test_a_filter_that_makes_no_sense_says_so_and_the_last_good_one_stays(out: Path) -> None:
    async def act(scene: Scene) -> None:
        await scene.filter("modl")
        scene.pane.query_one(LineInput).value += ":x"
        await scene.settle()
        assert any("modl is no column; nearest: model" in line for line in scene.lines)
        assert "/ modl" in scene.title
        await scene.press("escape")
        assert not any("no column" in line for line in scene.lines)

    play(out, act)


@pytest.mark.parametrize("text", ["ppl<5 agrees>=50%", '!x "two words"', "flag:x mbu<5%"])
def test_a_filter_may_be_typed_key_by_key(out: Path, text: str) -> None:
    async def act(scene: Scene) -> None:
        await scene.press("slash")
        line = scene.pane.query_one(LineInput)
        for end in range(1, len(text) + 1):
            line.value = text[:end]
            await scene.pilot.pause()
        await scene.settle()
        assert f"/ {text.strip()}" in scene.title

    play(out, act)


def test_when_nothing_matches_or_nothing_is_there_it_says_so(out: Path, tmp_path: Path) -> None:
    async def act(scene: Scene) -> None:
        await scene.filter("nothing-like-this")
        assert any("No run matches" in line for line in scene.lines)

    play(out, act)

    async def nothing(scene: Scene) -> None:
        assert any("No run has ended here yet" in line for line in scene.lines)
        await scene.press("enter", "b", "y", "Y", "O", "D", "R", "L", "a", "space", "s", "S", "G", "H")
        assert scene.app.said == []

    play(tmp_path / "empty", nothing)


def test_sorting_keeps_the_cursor_on_the_same_run(out: Path) -> None:
    async def act(scene: Scene) -> None:
        await scene.press("j", "j", "j")
        run = scene.list.current_key
        await scene.press("s")
        assert scene.app.settings.sort != "started"
        assert scene.list.current_key == run
        await scene.press("S")
        assert scene.list.current_key == run
        assert any("▲" in line or "▼" in line for line in scene.lines)

    play(out, act)


def test_the_cursor_stays_on_its_run_when_results_come_and_go(out: Path) -> None:
    async def act(scene: Scene) -> None:
        await scene.press(*"jjjjj")
        run = scene.list.current_key
        store = Store(out)
        for result in make_results(3, seed=9):
            store.append(replace(result, started="2027-01-01T00:00:00+00:00"))
        await scene.results_changed()
        assert scene.list.current_key == run
        assert scene.list.cursor == 8
        assert "Results  253" in scene.title
        store.delete([str(run)])
        await scene.results_changed()
        assert scene.list.current_key not in (None, run)

    play(out, act)


def test_a_click_on_a_header_sorts_and_another_turns_it_round(out: Path) -> None:
    async def act(scene: Scene) -> None:
        header = next(n for n, line in enumerate(scene.lines) if "TTFT p50" in line)
        x = scene.lines[header].index("TTFT")
        await scene.pilot.click(offset=(x, header))
        await scene.settle()
        assert (scene.app.settings.sort, scene.app.settings.descending) == ("ttft", False)
        await scene.pilot.click(offset=(x, header))
        await scene.settle()
        assert (scene.app.settings.sort, scene.app.settings.descending) == ("ttft", True)

    play(out, act)


def test_a_baseline_is_pinned_and_others_are_told_in_multiples_of_it(out: Path) -> None:
    async def act(scene: Scene) -> None:
        await scene.filter("!state:failed !state:interrupted")
        await scene.press("enter", "j", "b")
        run = scene.list.current_key
        assert scene.app.settings.baseline == run
        assert sum(" base " in line for line in scene.lines) == 2  # in its place, and pinned
        assert any("ratio" in line for line in scene.lines)
        assert sum("x  " in line or "x)  " in line for line in scene.lines) > 10
        await scene.press("G")
        assert sum(" base " in line for line in scene.lines) == 1
        await scene.press("g", "j", "b")
        assert scene.app.settings.baseline == ""
        assert not any("ratio" in line for line in scene.lines)

    play(out, act)


def test_a_baseline_from_the_settings_is_fetched_and_one_that_is_gone_is_said_so(out: Path) -> None:
    good = next(result for result in make_results(250) if result.state == "finished")

    async def there(scene: Scene) -> None:
        assert any(line.lstrip("┃┏ ").startswith("b ") and "base" in line for line in scene.lines)

    play(out, there, settings=Settings(baseline=good.id))

    async def gone(scene: Scene) -> None:
        assert any("is not among these results" in line for line in scene.lines)

    play(out, gone, settings=Settings(baseline="no-such-run"))


def test_failed_runs_are_hidden_and_shown(out: Path) -> None:
    failed = sum(result.state == "failed" for result in make_results(250))

    async def act(scene: Scene) -> None:
        await scene.press("H")
        assert f"{250 - failed} of 250" in scene.title
        assert "failed hidden" in scene.title
        await scene.press("H")
        assert "failed hidden" not in scene.title

    play(out, act)


def test_rows_are_copied_for_a_spreadsheet_and_as_commands(out: Path) -> None:
    async def act(scene: Scene) -> None:
        await scene.press("y")
        (text, what) = scene.app.copied[-1]
        assert what == "the row"
        assert text.split("\t")[0] == scene.list.current_key
        assert "\n" not in text
        await scene.press("Y")
        assert scene.app.copied[-1][0] == f"infertui run {out / str(scene.list.current_key) / 'run.toml'}"
        await scene.press("O")
        assert scene.app.copied[-1][0] == str(out / str(scene.list.current_key))
        await scene.press("g", "space", "space", "y")
        lines = scene.app.copied[-1][0].split("\n")
        assert len(lines) == 3
        assert lines[0].startswith("id\tname\tmodel\t")
        assert len({line.count("\t") for line in lines}) == 1

    play(out, act)


def test_deleting_asks_and_then_takes_the_marked_runs(out: Path) -> None:
    async def act(scene: Scene) -> None:
        scene.app.answer = False
        await scene.press("space", "space", "D")
        assert scene.app.questions[0].startswith("Delete the 2 marked runs 2026")
        assert len(Store(out).results(warn=pytest.fail)) == 250
        scene.app.answer = True
        doomed = {row.id for row in scene.pane._targets}
        await scene.press("D")
        left = {result.id for result in Store(out).results(warn=pytest.fail)}
        assert len(left) == 248
        assert not doomed & left
        await scene.results_changed()
        assert "Results  248" in scene.title
        assert "marked" not in scene.title
        assert scene.app.said == [("information", "Deleted 2 runs.")]

    play(out, act)


def test_all_that_match_are_marked_and_unmarked(out: Path) -> None:
    async def act(scene: Scene) -> None:
        await scene.filter("qwen")
        await scene.press("enter", "a")
        expected = {result.id for result in make_results(250) if "Qwen" in result.own_config.model.id}
        assert scene.list.marked == expected
        assert f"{len(expected)} marked" in scene.title
        await scene.press("a")
        assert scene.list.marked == set()

    play(out, act)


def test_runs_are_queued_again_and_loaded(out: Path) -> None:
    async def act(scene: Scene) -> None:
        await scene.press("space", "space", "R")
        (submission,) = next(call[1] for call in scene.app.fake.calls if call[0] == "submit")
        assert isinstance(submission, Submission)
        assert submission.out == str(out)
        newest = list(make_results(250))[:-3:-1]
        assert [variant.config for variant in submission.variants] == [result.config for result in newest]
        assert scene.app.said[-1][1] == "Queued 2 runs once more."
        await scene.press("g", "L")
        ((toml, label),) = scene.app.opened
        assert "[workload]" in toml
        assert label == newest[0].name

    play(out, act)


def test_enter_opens_the_details(out: Path) -> None:
    async def act(scene: Scene) -> None:
        await scene.press("j", "enter")
        assert scene.app.detailed == [scene.list.current_key]

    play(out, act)


def test_rows_are_copied_as_toml_and_markdown(out: Path) -> None:
    async def act(scene: Scene) -> None:
        await scene.press("M")
        await scene.press("j", "enter")
        toml = scene.app.copied[-1][0]
        assert toml.splitlines()[0] == f"# {scene.list.current_key}"
        assert tomllib.loads(toml)["workload"]["output_len"] > 0
        await scene.press("g", "space", "space", "M")
        await scene.press("j", "j", "enter")
        lines = scene.app.copied[-1][0].split("\n")
        assert lines[0].startswith("| id | name | model |")
        assert len(lines) == 4
        assert len({line.replace("\\|", "").count("|") for line in lines}) == 1
        count = len(scene.app.copied)
        await scene.press("M", "escape")
        assert len(scene.app.copied) == count

    play(out, act)


def test_the_newest_run_is_found_in_any_order(out: Path) -> None:
    async def act(scene: Scene) -> None:
        await scene.press("S", "g")
        newest = list(make_results(250))[-1].id
        assert scene.list.current_key != newest
        await scene.press("n")
        assert scene.list.current_key == newest

    play(out, act)


def test_columns_are_chosen_and_kept(out: Path) -> None:
    async def act(scene: Scene) -> None:
        await scene.press("C")
        assert isinstance(scene.app.screen, ColumnsScreen)
        await scene.press("j", "space", "K", "enter")  # without the model, and that before the name
        assert scene.app.settings.columns[:2] == ("name", "engine")
        assert "model" not in scene.app.settings.columns
        assert not any("model" in line for line in scene.lines)
        before = scene.app.settings
        await scene.press("C", "space", "escape")
        assert scene.app.settings is before

    play(out, act)


def test_without_a_runner_it_says_why_and_asks_again_when_there_is_one(out: Path) -> None:
    control = FakeControl()
    control.failures["results"] = EngineError("there is no connection to the runner")

    async def act(scene: Scene) -> None:
        assert "there is no connection to the runner" in scene.title
        assert len(scene.asked) == 1
        scene.pane.show(frozenset({"live"}))
        await scene.settle()
        assert len(scene.asked) == 1  # it does not ask again and again
        del control.failures["results"]
        scene.pane.show(frozenset({"runner"}))
        await scene.settle()
        assert "connection" not in scene.title

    play(out, act, control=control)


@pytest.mark.parametrize(
    "payload", ["[/foo]", "[@click=app.quit]x[/]", "\x1b]0;owned\x07", "\x9b31m", "\x00\r", "漢字漢字漢字"]
)
def test_foreign_text_is_only_text(tmp_path: Path, payload: str) -> None:
    out = tmp_path / "reports"
    out.mkdir()
    for number, result in enumerate(make_results(40)):
        error = replace(result.error, message=payload) if result.error else None
        model = replace(result.own_config.model, id=f"{payload}/m")
        changed = replace(result, name=payload, error=error, config=replace(result.own_config, model=model))
        Store(out).append(replace(changed, id=f"{payload}-{number}"))

    async def act(scene: Scene) -> None:
        await scene.press("b", "space", "y", "D")
        await scene.filter(payload)
        shown = "\n".join(scene.lines)
        assert not any(char in shown for char in "\x1b\x9b\x00\r\x07")
        if payload.isascii() and payload.isprintable():
            assert payload in shown

    play(out, act, settings=Settings(columns=("model", "name", "throughput")))


@pytest.mark.parametrize("size", [(160, 48), (120, 40), (80, 24), (60, 20), (20, 5), (8, 3)])
def test_every_size_is_drawn_and_nothing_is_cut_without_a_mark(out: Path, size: tuple[int, int]) -> None:
    async def act(scene: Scene) -> None:
        await scene.press("j", "slash", "x", "escape", "G", "g")
        header = next((line for line in scene.lines if "model" in line), "")
        if size[0] < 120 and size[0] >= 60:
            assert "+" in header

    play(out, act, size=size)
    play(out, act, size=size, ascii_only=True)


def test_without_unicode_the_pane_is_ascii(out: Path) -> None:
    async def act(scene: Scene) -> None:
        await scene.filter("!state:failed")
        await scene.press("enter", "b", "space")
        assert all(line.isascii() for line in scene.lines[1:-1] if not line.startswith(("┃", "│")))

    play(out, act, ascii_only=True)


def test_marked_runs_that_a_filter_hides_are_named_before_they_are_deleted(out: Path) -> None:
    async def act(scene: Scene) -> None:
        marked = str(scene.list.current_key)
        await scene.press("space")
        await scene.filter("qwen" if "qwen" not in marked else "llama")
        await scene.press("enter", "D")
        assert f"the marked run {marked}?" in scene.app.questions[-1]

    play(out, act)


def test_a_delete_that_fails_keeps_marks_and_baseline(out: Path) -> None:
    async def act(scene: Scene) -> None:
        await scene.press("b", "space")
        chosen = scene.app.settings.baseline
        scene.app.fake.failures["delete"] = EngineError("no connection")
        scene.app.answer = True
        await scene.press("k", "D")
        assert scene.app.settings.baseline == chosen
        assert scene.list.marked == {chosen}

    play(out, act)


def test_esc_goes_back_to_all_runs(out: Path) -> None:
    async def act(scene: Scene) -> None:
        await scene.filter("qwen")
        await scene.press("enter", "space")
        assert scene.pane.step_back()
        await scene.settle()
        assert "marked" not in scene.title
        assert scene.pane.step_back()
        await scene.settle()
        assert "Results  250" in scene.title
        assert not scene.pane.step_back()

    play(out, act)


def test_the_frame_says_where_the_cursor_is_among_what_is_left(out: Path) -> None:
    async def act(scene: Scene) -> None:
        for text in ("qwen", "qwen batch_size>=4", ""):
            await scene.filter(text)
            await scene.press("enter", "j")
            assert scene.pane.border_subtitle == scene.list.position

    play(out, act)
