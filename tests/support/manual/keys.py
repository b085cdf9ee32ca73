"""Keys of config files, of the settings and of the screen, from the tables that the program itself uses."""

import tomllib
from itertools import groupby

from support.manual.markdown import code, codes, table

from infertui.config import sources
from infertui.config.fields import FIELDS, Field
from infertui.config.toml import value_literal
from infertui.models.resolve import SYNTHETIC, resolve, synthetic_names
from infertui.paths import data
from infertui.tui.frame.actions import GLOBAL_ACTIONS, Action, signs
from infertui.tui.frame.layouts import PANES, TITLES
from infertui.tui.frame.panes import import_panes
from infertui.tui.settings.stored import Settings, fields
from infertui.units import format_count


def config_keys() -> str:
    """A table a section of the config."""
    parts = []
    for section, group in groupby(FIELDS.values(), lambda field: field.section):
        rows = [(code(field.key), _default(field), field.limits, _sentence(field.description)) for field in group]
        parts.append(f"### {code(f'[{section}]') if section else 'Top level'}")
        parts.append(table(("key", "default", "allowed", "meaning"), rows))
    return "\n\n".join(parts)


def preset_table() -> str:
    """The configs that ship."""
    return table(("preset", "what for"), [(code(name), sources.description(name)) for name in sources.names()])


def shape_table() -> str:
    """The models that ship as shapes, and whose they are."""
    sources = tomllib.loads((data() / "models" / "sources.toml").read_text(encoding="utf-8"))
    rows = []
    for name in synthetic_names():
        shape = resolve(SYNTHETIC + name).shape
        experts = f", {shape.active_experts} of {shape.experts} experts" if shape.experts else ""
        address = sources[name]["of"] if name in sources else ""
        model = address.partition("/blob/")[0].partition(".co/")[2]
        of = f"[{model}]({address})" if address else "ours"
        rows.append((code(name), format_count(shape.parameters) + experts, str(shape.layers), of))
    return table(("name", "parameters", "layers", "shape of"), rows)


def setting_keys() -> str:
    """The screen's settings, as their file holds them."""
    shipped = Settings()
    rows = [(code(one.name), code(one.text(shipped)), one.allowed, one.description) for one in fields()]
    return table(("setting", "default", "allowed", "meaning"), rows)


def screen_keys() -> str:
    """A table a pane, and one for the keys that work everywhere."""
    panes = import_panes()
    parts = ["### Everywhere", _actions(GLOBAL_ACTIONS)]
    for number, pane in enumerate(PANES, 1):
        parts += [f"### {number} {TITLES[pane]}", _actions(panes[pane].ACTIONS)]
    return "\n\n".join(parts)


def _actions(actions: tuple[Action, ...]) -> str:
    rows = [(codes(signs(action)), action.help, code(action.id)) for action in actions]
    return table(("key", "does", "action"), rows)


def _default(field: Field) -> str:
    return "" if field.is_table else code(value_literal(field.default))


def _sentence(text: str) -> str:
    return text.replace("<", "&lt;")
