"""Themes: colours by meaning, each a TOML file that ships with infertui or lies in the user's config directory.

A file gives rich styles by meaning (`[styles]`), which plain output uses too, six styles for the series of a chart,
and what only a screen has (`[screen]`). From it come CSS variables for Textual and a `Palette` for rich Text.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct
from rich.color import Color, ColorSystem
from rich.errors import StyleSyntaxError
from rich.segment import Segment
from rich.style import Style
from textual.app import App
from textual.color import Color as ScreenColor
from textual.filter import LineFilter, Monochrome, NoColor
from textual.theme import BUILTIN_THEMES, Theme

from infertui import paths, regular_files
from infertui.config import toml_text
from infertui.errors import ConfigError, UsageError
from infertui.paths import config_dir
from infertui.text import clean
from infertui.tui.terminal.capabilities import Colours, Terminal
from infertui.tui.terminal.sanitize import ControlFilter

SHIPPED = ("dark", "light", "high-contrast", "colour-blind", "ansi", "mono")
SERIES = 6
MAX_BYTES = 1 << 20
"""The largest theme that is read."""


class Palette(Struct, frozen=True, forbid_unknown_fields=True):
    """Rich styles by meaning, for the style of a Text or a span of one."""

    text: str
    muted: str
    accent: str
    title: str
    figure: str
    ok: str
    active: str
    warning: str
    error: str
    failure: str
    selection: str
    selection_blurred: str
    series: tuple[str, ...] = ()


class _Screen(Struct, frozen=True, forbid_unknown_fields=True):
    dark: bool
    colours: Literal["truecolour", "16", "none"]
    background: str
    surface: str
    frame: str
    frame_focused: str


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    series: tuple[str, ...]
    screen: _Screen
    styles: dict[str, str]


DEFAULT_PALETTE = Palette(
    text="", muted="dim", accent="cyan", title="bold", figure="bold", ok="green", active="bold green",
    warning="yellow", error="red", failure="bold red", selection="reverse", selection_blurred="bold",
    series=("cyan", "yellow", "magenta", "green", "blue", "red"),
)  # fmt: skip
"""For an application that has none of our themes."""


@dataclass
class ColourTheme(Theme):
    """A theme as Textual takes it, with the palette that goes with it."""

    palette: Palette = DEFAULT_PALETTE
    colours: Colours = "truecolour"


def palette(app: App[Any]) -> Palette:
    """The styles of the theme that `app` shows now. Ask again when the theme changes."""
    return getattr(app.current_theme, "palette", DEFAULT_PALETTE)


def read(file: Traversable) -> ColourTheme:
    """The theme in `file`. Raises ConfigError that names file and key."""
    source = clean(str(file))
    try:
        raw = toml_text.loads(_content(file), "the file")
    except OSError as error:
        raise ConfigError("", f"not a theme: {error.strerror or error}", source=source) from error
    except ConfigError as error:
        raise ConfigError("", f"not a theme: {error.problem}", source=source) from error
    try:
        content = msgspec.convert(raw, _File)
        styles = msgspec.convert(content.styles, Palette)
    except msgspec.ValidationError as error:
        problem, _, where = str(error).partition(" - at ")
        inside = "styles" if "screen" not in where and isinstance(raw.get("styles"), dict) and not where else ""
        path = where.strip("`").removeprefix("$").lstrip(".") or inside
        raise ConfigError(clean(path), clean(problem), source=source) from error
    if content.name != Path(file.name).stem:
        raise ConfigError("name", f"{clean(content.name)!r} is not the file's name", source=source)
    if len(content.series) != SERIES:
        raise ConfigError("series", f"{len(content.series)} styles", allowed=f"{SERIES} styles", source=source)
    for key, style in _all_styles(content):
        _check_style(key, style, content.screen.colours, source)
    return _theme(content, msgspec.structs.replace(styles, series=content.series))


def _content(file: Traversable) -> bytes:
    """What ships may lie in a wheel that was never unpacked; what is the user's may be anything."""
    return regular_files.read(file, MAX_BYTES) if isinstance(file, Path) else file.read_bytes()


def _all_styles(content: _File) -> list[tuple[str, str]]:
    screen = content.screen
    return [
        *((f"styles.{key}", style) for key, style in content.styles.items()),
        *((f"series[{index}]", style) for index, style in enumerate(content.series)),
        *((f"screen.{key}", getattr(screen, key)) for key in ("background", "surface", "frame", "frame_focused")),
    ]


def _check_style(key: str, style: str, colours: Colours, source: str) -> None:
    try:
        parsed = Style.parse(style)
    except StyleSyntaxError as error:
        allowed = "attributes and colours: 'bold #88ccff', 'black on cyan', 'dim'"
        raise ConfigError(key, f"{clean(style)!r} is not a style", allowed=allowed, source=source) from error
    if key.startswith("screen.") and parsed.color is None:
        allowed = "'#102030', 'blue', 'default'"
        raise ConfigError(key, f"{clean(style)!r} is not a colour", allowed=allowed, source=source)
    for colour in (parsed.color, parsed.bgcolor):
        if colour is None or colour.is_default:
            continue
        if colours == "none":
            raise ConfigError(key, f"{clean(style)!r} has a colour", allowed="attributes alone", source=source)
        if colours == "16" and not (colour.is_system_defined and (colour.number or 0) < 16):
            allowed = "black, red, green, yellow, blue, magenta, cyan, white, bright_... of them, default"
            raise ConfigError(key, f"{clean(style)!r} is not one of the 16 colours", allowed=allowed, source=source)


def _theme(content: _File, styles: Palette) -> ColourTheme:
    screen = content.screen
    by_name = {key: getattr(styles, key) for key in content.styles}
    text = _css_colour(styles.text, "ansi_default" if screen.colours != "truecolour" else "#ffffff")
    background = _css_colour(screen.background, text)
    # Textual's style sheets need variables in ANSI mode that it derives in the other.
    variables: dict[str, str] = {} if screen.colours == "truecolour" else dict(BUILTIN_THEMES["ansi-dark"].variables)
    if screen.colours == "truecolour":
        # Of placeholders and what cannot be used: Textual's own would be too faint to read.
        variables["text-disabled"] = _css_colour(styles.muted, text)
    variables |= {
        "frame": _css_colour(screen.frame, text),
        "frame-focused": _css_colour(screen.frame_focused, text),
        "border": _css_colour(screen.frame_focused, text),
        "border-blurred": _css_colour(screen.frame, text),
    }
    for key, style in by_name.items():
        variables[f"{key.replace('_', '-')}-colour"] = _css_colour(style, text)
        variables[f"{key.replace('_', '-')}-style"] = _css_attributes(style)
    variables |= _stock_variables(styles.selection, text, background)
    accent = _css_colour(styles.accent, text)
    return ColourTheme(
        name=content.name,
        primary=_css_colour(screen.frame_focused, text),
        secondary=accent,
        accent=accent,
        warning=_css_colour(styles.warning, text),
        error=_css_colour(styles.error, text),
        success=_css_colour(styles.ok, text),
        foreground=text,
        background=background,
        surface=_css_colour(screen.surface, text),
        panel=_css_colour(screen.surface, text),
        boost=_css_colour(screen.surface, text),
        dark=screen.dark,
        ansi=screen.colours != "truecolour",
        variables=variables,
        palette=styles,
        colours=screen.colours,
    )


def _stock_variables(selection: str, text: str, background: str) -> dict[str, str]:
    """Variables of Textual's own widgets: cursors and selections like our selection, hovering without effect."""
    style = Style.parse(selection)
    front = text if style.color is None else _css_name(style.color)
    back = background if style.bgcolor is None else _css_name(style.bgcolor)
    variables = {
        f"{part}-{ground}": colour
        for part in ("block-cursor", "block-cursor-blurred", "input-selection", "screen-selection")
        for ground, colour in (("foreground", front), ("background", back))
    }
    return variables | {
        # Some of its widgets know no reverse: without a colour of its own the cursor is underlined as well.
        "block-cursor-text-style": "bold underline reverse" if style.bgcolor is None else _css_attributes(selection),
        "block-hover-background": background,
        "footer-background": background,
        "input-cursor-foreground": text,
        "input-cursor-background": background,
        "input-cursor-text-style": "reverse",
    }


def _css_colour(style: str, otherwise: str) -> str:
    colour = Style.parse(style).color
    return otherwise if colour is None else _css_name(colour)


def _css_name(colour: Color) -> str:
    if colour.is_default:
        return "ansi_default"
    return f"ansi_{colour.name}" if colour.triplet is None else colour.triplet.hex


def _css_attributes(style: str) -> str:
    parsed = Style.parse(style)
    names = [name for name in ("bold", "dim", "italic", "underline", "reverse") if getattr(parsed, name)]
    return " ".join(names) or "none"


def variable_defaults() -> dict[str, str]:
    """CSS variables for when a theme of Textual's own is shown; for `App.get_theme_variable_defaults`."""
    return {name: value for name, value in shipped("dark").variables.items() if name != "text-disabled"}


@lru_cache(maxsize=len(SHIPPED))
def shipped(name: str) -> ColourTheme:
    """One of the themes in SHIPPED, read once."""
    return read(paths.themes() / f"{name}.toml")


def user_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the user's themes lie."""
    return config_dir(environ) / "themes"


def load(environ: Mapping[str, str] = os.environ) -> tuple[dict[str, ColourTheme], list[ConfigError]]:
    """All themes by name, the user's in place of shipped ones of the same name; and what is wrong with the others."""
    found = {name: shipped(name) for name in SHIPPED}
    wrong: list[ConfigError] = []
    folder = user_folder(environ)
    for file in sorted(folder.glob("*.toml")) if regular_files.is_dir(folder) else []:
        try:
            found[file.stem] = read(file)
        except ConfigError as error:
            wrong.append(error)
    return found, wrong


def choose(setting: str, environ: Mapping[str, str], terminal: Terminal, known: Sequence[str] = SHIPPED) -> str:
    """The name of the theme to start with. Raises UsageError for a name that is not `known`.

    `auto` goes by what the terminal can show: no colour (NO_COLOR, TERM=dumb) is `mono`, sixteen are `ansi`,
    else `dark` or `light` by COLORFGBG, which some terminals set. A name beats them all, NO_COLOR included.
    """
    if setting != "auto":
        if setting not in known:
            raise UsageError(
                f"theme: there is none called {clean(setting)!r}",
                remedy=f"Choose auto, {', '.join(known)}, or put {clean(setting)}.toml into {user_folder(environ)}.",
            )
        return setting
    if terminal.colours == "none":
        return "mono"
    if terminal.colours == "16":
        return "ansi"
    background = environ.get("COLORFGBG", "").rpartition(";")[2]
    return "light" if background in ("7", "15") else "dark"


def kept(setting: str, terminal: Terminal, found: Mapping[str, ColourTheme]) -> str:
    """What the settings ask for; `auto` where that was chosen on a terminal that shows more colours than this one."""
    theme = found.get(setting)
    too_much = theme is not None and theme.colours == "truecolour" and terminal.colours in ("none", "16")
    return "auto" if too_much else setting


class _Restyle(LineFilter):
    """A filter that changes styles alone."""

    def restyle(self, style: Style) -> Style:
        """What `style` becomes."""
        raise NotImplementedError

    def apply(self, segments: list[Segment], background: ScreenColor) -> list[Segment]:
        """The same text in other styles."""
        return [
            Segment(text, None if style is None else self.restyle(style), control) for text, style, control in segments
        ]


class Colourless(_Restyle):
    """No colour codes at all. Textual's own answer to NO_COLOR is grey in true colour."""

    def restyle(self, style: Style) -> Style:
        """Attributes alone."""
        return _without_colour(style)


class SixteenColours(_Restyle):
    """Whatever a stock widget mixes becomes one of the terminal's sixteen colours."""

    def restyle(self, style: Style) -> Style:
        """The nearest of the sixteen."""
        return _of_sixteen(style)


@lru_cache(maxsize=1024)
def _without_colour(style: Style) -> Style:
    return style.without_color


@lru_cache(maxsize=1024)
def _of_sixteen(style: Style) -> Style:
    colours = [
        colour if colour is None or colour.is_default else colour.downgrade(ColorSystem.STANDARD)
        for colour in (style.color, style.bgcolor)
    ]
    return style + Style(color=colours[0], bgcolor=colours[1])


_CONTROL = ControlFilter()
_COLOURLESS = Colourless()
_SIXTEEN = SixteenColours()


def line_filters(app: App[Any], stock: Sequence[LineFilter]) -> list[LineFilter]:
    """For `App.get_line_filters`: `stock` are those of the base class. The theme decides on colours, not NO_COLOR,
    which has chosen the theme; control characters are stopped in all of them.
    """
    kept = [one for one in stock if not isinstance(one, (Monochrome, NoColor))]
    colours = getattr(app.current_theme, "colours", "truecolour")
    if colours == "none":
        kept.append(_COLOURLESS)
    elif colours == "16":
        kept.append(_SIXTEEN)
    return [*kept, _CONTROL]
