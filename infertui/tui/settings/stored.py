"""The user's settings: a TOML file in the config directory, checked when read, written whole or not at all."""

import contextlib
import difflib
import os
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct

from infertui import regular_files
from infertui.analysis.outcome import EQUAL_WITHIN
from infertui.errors import StoreError, UsageError
from infertui.results.table import Column
from infertui.text import clean, one_line
from infertui.tui.results.ratios import RatioColumn
from infertui.tui.terminal.early import MAX_BYTES
from infertui.tui.terminal.signals import Notification

if TYPE_CHECKING:
    Shown: TypeAlias = str
else:
    Shown = Literal[Column, RatioColumn]
"""What can be a column of the results table."""


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """What the user chose. Every field has a default; a description names what it does."""

    theme: Annotated[str, Meta(description="colour theme; auto: by what the terminal can show")] = "auto"
    gauge_hz: Annotated[float, Meta(ge=0.1, le=10, description="GPU gauges are redrawn so often, a second")] = 1.0
    chart_hz: Annotated[
        float,
        Meta(ge=0.1, le=10, description="charts of a live run are redrawn so often, a second; half of it on a CPU"),
    ] = 2.0
    slow_link: Annotated[bool, Meta(description="redraw rarely and without charts: below 1 kB a second")] = False
    mouse: Annotated[Literal["auto", "on", "off"], Meta(description="auto: off over SSH")] = "auto"
    terminal_title: Annotated[bool, Meta(description="show in the terminal's title what runs, and how far it is")] = (
        True
    )
    bell: Annotated[bool, Meta(description="ring the terminal's bell when what was queued together has ended")] = False
    notification: Annotated[
        Notification,
        Meta(
            description="have the terminal notify the desktop then: osc9 (iTerm2, kitty, WezTerm, Ghostty, Windows "
            "Terminal) or osc777 (foot, rxvt-unicode, WezTerm, Ghostty); in tmux with allow-passthrough on"
        ),
    ] = "off"
    temperature_unit: Annotated[Literal["C", "F"], Meta(description="unit of temperatures")] = "C"
    hot_c: Annotated[float, Meta(ge=0, le=150, description="from here a temperature is marked, in degrees Celsius")] = (
        83.0
    )
    full_vram: Annotated[float, Meta(gt=0, le=1, description="from this share on, used memory is marked")] = 0.95
    columns: Annotated[tuple[Shown, ...], Meta(description="columns of the results table, in order")] = (
        "name", "model", "engine", "mode", "form", "batch_size", "throughput", "ttft", "tpot", "vram",
        "joules_per_token", "started",
    )  # fmt: skip
    sort: Annotated[Column, Meta(description="column that sorts the results")] = "started"
    descending: Annotated[bool, Meta(description="largest first")] = True
    baseline: Annotated[str, Meta(description="run id that results are compared with; empty: none")] = ""
    equal_within: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="figures count as equal where the whole interval lies within this change, as a "
            "share; of commands too, unless --equal-within is given",
        ),
    ] = EQUAL_WITHIN
    currency: Annotated[
        str, Meta(description="currency of the prices and the budget given here, as EUR; empty: as listed, USD")
    ] = ""
    electricity: Annotated[
        float, Meta(ge=0, le=1000, description="price of a kilowatt-hour; 0: as listed for the currency")
    ] = 0.0
    load: Annotated[str, Meta(description="load that the Cost pane sizes a fleet for, as 2000 tok/s; empty: none")] = ""
    monthly_budget: Annotated[
        float, Meta(ge=0, le=1e12, description="what is spent a month, to see what is saved of it; 0: none")
    ] = 0.0
    keys: Annotated[dict[str, str], Meta(description="other keys for actions: action id = key, key")] = {}


Kind = Literal["choice", "flag", "number", "text", "columns", "keys"]


class SettingField(Struct, frozen=True):
    """One setting as files and forms show it. `allowed` says in words what it takes."""

    name: str
    kind: Kind
    description: str
    allowed: str
    choices: tuple[str, ...] = ()
    """Of a choice: the words. Of columns: the columns there are."""

    def check(self, value: object) -> object:
        """`value` as the setting holds it, or UsageError naming the setting, the value and what is allowed."""
        try:
            return msgspec.convert(value, _TYPES[self.name], strict=True)
        except (msgspec.ValidationError, RecursionError):
            shown = one_line(value, 60)
            raise UsageError(f"{self.name}: {shown!r} is not allowed; allowed: {self.allowed}") from None

    def parse(self, text: str) -> object:
        """The value that typed `text` stands for, or UsageError."""
        text = text.strip()
        match self.kind:
            case "number":
                try:
                    return self.check(float(text))
                except ValueError:
                    return self.check(text)
            case "flag":
                return self.check({"on": True, "true": True, "off": False, "false": False}.get(text.lower(), text))
            case "columns":
                return self.check([part.strip() for part in text.split(",") if part.strip()])
            case "keys":
                pairs = (part.partition("=") for part in text.split(";") if part.strip())
                return self.check({name.strip(): keys.strip() for name, _, keys in pairs})
            case _:
                return self.check(text)

    def text(self, settings: Settings) -> str:
        """The setting's value, as `parse` reads it."""
        value = getattr(settings, self.name)
        match self.kind:
            case "flag":
                return "on" if value else "off"
            case "number":
                return f"{value:g}"
            case "columns":
                return ", ".join(value)
            case "keys":
                return "; ".join(f"{name}={keys}" for name, keys in value.items())
            case _:
                return str(value)


def _field(name: str) -> SettingField:
    info = msgspec.inspect.type_info(_TYPES[name])
    meta: Mapping[str, object] = {}
    if isinstance(info, msgspec.inspect.Metadata):
        meta, info = info.extra_json_schema or {}, info.type
    description = str(meta.get("description", ""))
    match info:
        case msgspec.inspect.BoolType():
            return SettingField(name, "flag", description, "true or false", ("off", "on"))
        case msgspec.inspect.FloatType(ge=ge, gt=gt, le=le):
            low = f"{ge:g}" if ge is not None else f"more than {gt:g}"
            return SettingField(name, "number", description, f"a number, {low} to {le:g}")
        case msgspec.inspect.LiteralType(values=values):
            words = tuple(map(str, values))
            return SettingField(name, "choice", description, ", ".join(words), words)
        case msgspec.inspect.VarTupleType(item_type=msgspec.inspect.LiteralType(values=values)):
            words = tuple(map(str, values))
            return SettingField(name, "columns", description, "a list of " + ", ".join(words), words)
        case msgspec.inspect.DictType():
            return SettingField(name, "keys", description, 'a table such as { "queue.cancel" = "X" }')
        case _:
            return SettingField(name, "text", description, "text")


_TYPES = {field.name: field.type for field in msgspec.structs.fields(Settings)}


def fields() -> tuple[SettingField, ...]:
    """All settings, in the order in which files and forms show them."""
    return tuple(_field(name) for name in _TYPES)


class SettingsFile(Struct, frozen=True):
    """What a settings file said. `problems` are sentences to show; the rest of the file counts nevertheless."""

    settings: Settings
    problems: tuple[str, ...] = ()
    existed: bool = True


def read(path: Path) -> SettingsFile:
    """The settings in `path`, defaults where it has none. Never raises: what is wrong becomes a problem."""
    try:
        table = tomllib.loads(regular_files.read(path, MAX_BYTES).decode("utf-8-sig"))
    except FileNotFoundError:
        return SettingsFile(Settings(), existed=False)
    except OSError as error:
        return SettingsFile(Settings(), (f"cannot read {clean(str(path))}: {error.strerror}; using the defaults",))
    except (ValueError, RecursionError) as error:
        problem = one_line(error, 120)
        return SettingsFile(Settings(), (f"{clean(str(path))} is not TOML: {problem}; using the defaults",))
    known = {field.name: field for field in fields()}
    taken: dict[str, object] = {}
    problems = []
    for name, value in table.items():
        if name not in known:
            near = difflib.get_close_matches(name[:60], known, n=1, cutoff=0.6)
            hint = f"; did you mean {near[0]}?" if near else f"; allowed: {', '.join(known)}"
            problems.append(f"{path.name}: there is no setting {one_line(name, 60)!r}{hint}")
            continue
        try:
            taken[name] = known[name].check(value)
        except UsageError as error:
            problems.append(f"{path.name}: {error.message}; using {known[name].text(Settings())}")
    return SettingsFile(msgspec.convert(taken, Settings), tuple(problems))


_HEAD = """\
# Settings of the screen of infertui; `,` edits them there. Every key may be left out.
"""


def write(path: Path, settings: Settings) -> None:
    """Write all settings with a comment on each, whole or not at all. Raises StoreError."""
    import textwrap

    import tomli_w

    blocks = [_HEAD]
    defaults = Settings()
    for field in fields():
        value = msgspec.to_builtins(getattr(settings, field.name))
        about = f"{field.description}; allowed: {field.allowed}"
        if field.kind != "keys":
            about += f"; default: {field.text(defaults) or 'empty'}"
        comment = textwrap.indent(textwrap.fill(about, 98, break_on_hyphens=False), "# ")
        blocks.append(f"{comment}\n{tomli_w.dumps({field.name: value})}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fd, name = tempfile.mkstemp(dir=path.parent, prefix=".settings-")
        try:
            with os.fdopen(fd, "w", encoding="utf-8") as file:
                file.write("\n".join(blocks))
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(name).unlink()
            raise
    except OSError as error:
        raise StoreError(f"cannot save the settings to {clean(str(path))}: {error.strerror}") from None
