"""Themes: the shipped ones hold what they promise, and a user's broken one is told exactly what is wrong."""

import asyncio
import errno
import os
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from support.stage import Stage, play
from textual.color import Color as ScreenColor
from textual.pilot import Pilot
from textual.widgets import DataTable, Input, OptionList, Static

from infertui import paths
from infertui.errors import ConfigError, UsageError
from infertui.tui import themes
from infertui.tui.terminal.capabilities import Terminal

TRUE_COLOUR = ("dark", "light", "high-contrast", "colour-blind")


def terminal(colours: str) -> Terminal:
    return Terminal(
        ascii_only=False,
        colours=colours,  # type: ignore[arg-type]
        over_ssh=False,
        multiplexer="",
        stdin_is_terminal=True,
        stdout_is_terminal=True,
        stderr_is_terminal=True,
    )


def contrast(one: Color, other: Color) -> float:
    """WCAG 2.2 contrast ratio: https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio"""

    def luminance(colour: Color) -> float:
        parts = [part / 255 for part in colour.get_truecolor()]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def styles_of(name: str) -> dict[str, Style]:
    raw = tomllib.loads((paths.themes() / f"{name}.toml").read_text(encoding="utf-8"))
    named = {key: Style.parse(value) for key, value in raw["styles"].items()}
    return named | {f"series {index}": Style.parse(value) for index, value in enumerate(raw["series"])}


@pytest.mark.parametrize("name", TRUE_COLOUR)
def test_text_can_be_read_on_background_surface_and_selection(name: str) -> None:
    theme, styles = themes.shipped(name), styles_of(name)
    least = 7.0 if name == "high-contrast" else 4.5
    grounds = [Color.parse(theme.background or ""), Color.parse(theme.surface or "")]
    for key in ("selection", "selection_blurred"):
        if (ground := styles[key].bgcolor) is not None and styles[key].color is None:
            grounds.append(ground)
    for key, style in styles.items():
        if style.color is None or key == "selection":
            continue
        for ground in grounds:
            # On the selection the row is one of many signs: 3 to 1 is enough there.
            wanted = least if ground in grounds[:2] else 3.0
            assert contrast(style.color, ground) >= wanted, (key, ground.name)
    selection = styles["selection"]
    if selection.color and selection.bgcolor:
        assert contrast(selection.color, selection.bgcolor) >= least


def test_colour_blind_has_no_red_beside_green() -> None:
    for key, style in styles_of("colour-blind").items():
        if style.color is None:
            continue
        red, green, blue = style.color.get_truecolor()
        assert not (green > 1.4 * red and green > 1.2 * blue), f"{key} is green"
        assert not (red > 1.8 * green and red > 1.8 * blue), f"{key} is red"


def test_colour_blind_tells_good_from_bad_by_blue() -> None:
    styles = styles_of("colour-blind")
    ok, error = styles["ok"].color, styles["error"].color
    assert ok is not None
    assert error is not None
    assert ok.get_truecolor().blue > 2 * error.get_truecolor().blue


def test_mono_tells_states_apart_without_colour() -> None:
    palette = themes.shipped("mono").palette
    assert len({palette.text, palette.active, palette.error, palette.failure, palette.muted, palette.selection}) == 6


@pytest.mark.parametrize("name", themes.SHIPPED)
def test_every_theme_paints_stock_and_own_widgets(name: str) -> None:
    app = Stage(lambda: Static("x"), lambda: Input(), lambda: OptionList("a"), DataTable, theme=name)

    async def act(pilot: Pilot[None]) -> None:
        for other in themes.SHIPPED:
            app.theme = other
            await pilot.pause()
            assert themes.palette(app) == themes.shipped(other).palette
            codes = "".join(
                style.render(" ", color_system=app.console._color_system)
                for strip in app.screen._compositor.render_strips(app.size)
                for _, style, _ in strip
                if style
            )
            if other == "mono":
                assert not colour_codes(codes)
            elif other == "ansi":
                assert "38;2" not in codes
                assert "38;5" not in codes

    asyncio.run(play(app, act))


def colour_codes(text: str) -> list[str]:
    """SGR parameters in `text` that are colours."""
    parameters = [number for code in re.findall(r"\x1b\[([\d;]*)m", text) for number in code.split(";") if number]
    return [number for number in parameters if 30 <= int(number) <= 49 or 90 <= int(number) <= 107]


@pytest.mark.parametrize("name", ["ansi", "mono"])
def test_cursors_of_stock_widgets_are_seen_without_colours_of_our_own(name: str) -> None:
    app = Stage(lambda: Input("text"), lambda: OptionList("one", "two"), theme=name)

    async def act(pilot: Pilot[None]) -> None:
        await pilot.press("home")
        await pilot.pause()
        assert any(style.reverse for style in styles_on_screen(app, "t"))
        await pilot.press("tab", "down")
        await pilot.pause()
        lit = styles_on_screen(app, "one") ^ styles_on_screen(app, "two")
        assert any(style.reverse or style.underline or style.bgcolor not in (None, Color.default()) for style in lit)

    asyncio.run(play(app, act))


def styles_on_screen(app: Stage, text: str) -> set[Style]:
    """Styles of all pieces that hold `text`, as they are sent."""
    strips = app.screen._compositor.render_strips(app.size)
    return {Style(**shape(style)) for strip in strips for piece, style, _ in strip if text in piece and style}


def shape(style: Style) -> dict[str, Any]:
    return {"color": style.color, "bgcolor": style.bgcolor, "reverse": style.reverse, "underline": style.underline}


def test_filters_take_colours_out_or_down() -> None:
    style = Style.parse("bold #123456 on #654321")
    black = ScreenColor.parse("#000000")
    (segment,) = themes.Colourless().apply([Segment("x", style)], black)
    assert segment.style == Style.parse("bold")
    (segment,) = themes.SixteenColours().apply([Segment("x", style)], black)
    assert segment.style is not None
    assert segment.style.color is not None
    assert (segment.style.color.number or 0) < 16
    assert segment.style.bold
    assert themes.Colourless().apply([Segment("x", None)], black) == [Segment("x", None)]


@pytest.mark.parametrize(
    ("colours", "environ", "name"),
    [
        ("none", {"NO_COLOR": "1"}, "mono"),
        ("16", {}, "ansi"),
        ("256", {}, "dark"),
        ("truecolour", {}, "dark"),
        ("truecolour", {"COLORFGBG": "0;15"}, "light"),
        ("truecolour", {"COLORFGBG": "15;default;0"}, "dark"),
        ("16", {"COLORFGBG": "0;15"}, "ansi"),
    ],
)
def test_auto_goes_by_what_the_terminal_shows(colours: str, environ: dict[str, str], name: str) -> None:
    assert themes.choose("auto", environ, terminal(colours)) == name


def test_a_theme_that_was_kept_counts_only_where_it_can_be_shown() -> None:
    found, _ = themes.load({})
    assert themes.kept("light", terminal("truecolour"), found) == "light"
    assert themes.kept("light", terminal("256"), found) == "light"
    assert themes.kept("light", terminal("16"), found) == "auto"
    assert themes.kept("mono", terminal("16"), found) == "mono"
    assert themes.kept("gone", terminal("16"), found) == "gone"


def test_a_name_beats_the_terminal_and_an_unknown_one_is_refused() -> None:
    assert themes.choose("light", {"NO_COLOR": "1"}, terminal("none")) == "light"
    with pytest.raises(UsageError, match="'solarised'") as refused:
        themes.choose("solarised", {"HOME": "/home/u"}, terminal("16"))
    assert "high-contrast" in refused.value.remedy
    assert "/home/u/.config/infertui/themes" in refused.value.remedy


def shipped_text(name: str) -> str:
    return (paths.themes() / f"{name}.toml").read_text(encoding="utf-8")


def user(folder: Path, name: str, text: str) -> dict[str, str]:
    themes_folder = folder / "infertui" / "themes"
    themes_folder.mkdir(parents=True, exist_ok=True)
    (themes_folder / f"{name}.toml").write_text(text, encoding="utf-8")
    return {"XDG_CONFIG_HOME": str(folder), "HOME": "/nonexistent"}


def test_the_users_themes_are_found_and_replace_shipped_ones(tmp_path: Path) -> None:
    user(tmp_path, "own", shipped_text("dark").replace('name = "dark"', 'name = "own"'))
    environ = user(tmp_path, "light", shipped_text("light").replace("#fafbfc", "#ffffff"))
    found, wrong = themes.load(environ)
    assert wrong == []
    assert set(found) == {*themes.SHIPPED, "own"}
    assert found["light"].background == "#ffffff"
    assert themes.load({"HOME": "/nonexistent"})[0].keys() == set(themes.SHIPPED)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('muted = "#8a95a5"', 'muted = "greyish"', ["styles.muted", "'greyish'", "is not a style"]),
        ('muted = "#8a95a5"', "", ["styles", "muted"]),
        ('muted = "#8a95a5"', "muted = 3", ["styles", "str"]),
        ('muted = "#8a95a5"', 'mutd = "dim"\nmuted = "dim"', ["styles", "mutd"]),
        ('background = "#10151c"', 'background = "bold"', ["screen.background", "not a colour"]),
        ('background = "#10151c"', "", ["screen", "background"]),
        ('colours = "truecolour"', 'colours = "16"', ["not one of the 16 colours"]),
        ('colours = "truecolour"', 'colours = "none"', ["has a colour"]),
        ('colours = "truecolour"', 'colours = "many"', ["screen.colours", "many"]),
        ('name = "dark"', 'name = "day"', ["name", "'day'", "file's name"]),
        (', "#8fa8c8"]', "]", ["series", "5 styles", "6 styles"]),
        ("[screen]", "[screen", ["not a theme"]),
        ("[styles]", "[style]", ["style"]),
        ('name = "dark"', 'name = "\\u001b[31m"', ["name"]),
    ],
)
def test_a_broken_theme_is_named_with_its_key(tmp_path: Path, old: str, new: str, told: list[str]) -> None:
    text = shipped_text("dark")
    assert old in text
    found, (error,) = themes.load(user(tmp_path, "dark", text.replace(old, new)))
    assert isinstance(error, ConfigError)
    for word in [*told, "dark.toml"]:
        assert word in str(error)
    assert "\x1b" not in str(error)
    assert found["dark"] is themes.shipped("dark")


def test_a_folder_of_themes_that_is_closed_holds_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As under `sudo -u` with the other user's HOME kept. Root may look everywhere, hence the stand-in."""
    stat = Path.stat

    def closed(path: Path, **named: bool) -> os.stat_result:
        if path.name == "themes" and tmp_path in path.parents:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return stat(path, **named)

    monkeypatch.setattr(Path, "stat", closed)
    found, wrong = themes.load({"HOME": str(tmp_path)})
    assert set(found) == set(themes.SHIPPED)
    assert wrong == []


def test_variables_are_there_for_the_stock_themes_too() -> None:
    variables = themes.variable_defaults()
    for name in ("frame", "frame-focused", "muted-colour", "title-style", "selection-blurred-colour"):
        assert name in variables
    for name in themes.SHIPPED:
        assert variables.keys() <= themes.shipped(name).variables.keys()


def test_plain_output_reads_the_same_files() -> None:
    for name in themes.SHIPPED:
        styles = tomllib.loads(shipped_text(name))["styles"]
        assert {"title", "accent", "ok", "active", "warning", "error", "failure", "muted", "figure"} <= styles.keys()
