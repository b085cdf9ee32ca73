"""Whether the description that another package gives of its engine can be used; a broken one is told, and left out."""

import re
import typing
from collections.abc import Mapping

from msgspec import inspect

from infertui.config.engines.spec import CommonOption, DeviceKind, EngineSpec
from infertui.config.section import Section

_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")
_TEXTS = ("summary", "module", "install", "not_run_on_hardware")
RESERVED = frozenset(
    {*typing.get_args(CommonOption), "name", "python", "fallback", "draft_model", "draft_tokens", "options"}
)  # fmt: skip
"""Keys of `[engine]`, which no engine's table may be called."""


def problem_with(spec: object) -> str:
    """What is wrong with an object that claims to describe an engine; empty where nothing is. May raise anything."""
    if not isinstance(spec, EngineSpec):
        return "it is no EngineSpec"
    if not _NAME.fullmatch(spec.name):  # a TypeError where it is no text
        return "its name is not made of small letters, digits and hyphens"
    if spec.table in RESERVED:
        return f"its table would be called as the key engine.{spec.table}"
    wrong = [name for name in _TEXTS if not isinstance(getattr(spec, name), str)]
    if wrong:
        return f"{wrong[0]} is no text"
    if not spec.devices or not set(spec.devices) <= set(typing.get_args(DeviceKind)):
        return f"devices are to be of {', '.join(typing.get_args(DeviceKind))}"
    return _common(spec.common) or _options(spec.options)


def _common(common: object) -> str:
    if not isinstance(common, Mapping):
        return "common is no table"
    for option, words in common.items():
        if option not in typing.get_args(CommonOption):
            return f"there is no common option {option}; there are {', '.join(typing.get_args(CommonOption))}"
        if not isinstance(words, tuple) or not all(isinstance(word, str) and word.strip() for word in words):
            return f"the words of the common option {option} are no tuple of texts"
    return ""


def _options(options: object) -> str:
    if not (isinstance(options, type) and issubclass(options, Section)):
        return "its options are no Section"
    if not options.__struct_config__.frozen:
        return "its options are not frozen"
    options()  # every option has a default
    info = inspect.type_info(options)
    assert isinstance(info, inspect.StructType)  # noqa: S101
    for field in info.fields:
        if wrong := _option(field):
            return f"option {field.name}: {wrong}"
    return ""


def _option(field: inspect.Field) -> str:
    kind, described = field.type, False
    while isinstance(kind, inspect.Metadata):
        described = described or bool((kind.extra_json_schema or {}).get("description"))
        kind = kind.type
    if not described:
        return "it has no description"
    words: tuple[object, ...] = ()
    if isinstance(kind, inspect.UnionType):
        literals = [member for member in kind.types if isinstance(member, inspect.LiteralType)]
        others = [member for member in kind.types if not isinstance(member, inspect.LiteralType)]
        if len(literals) != 1 or len(others) != 1 or not isinstance(others[0], inspect.IntType):
            return "of unions there is only int | Literal[...]"
        words, kind = tuple(literals[0].values), others[0]
    match kind:
        case inspect.IntType() | inspect.FloatType():
            low = kind.ge if kind.gt is None else kind.gt
            if low is None or kind.le is None:
                return "a number needs both limits: ge or gt, and le"
            inside = isinstance(field.default, int | float) and low <= field.default <= kind.le
            return "" if inside or field.default in words else "its default is outside its limits"
        case inspect.LiteralType():
            return "" if all(isinstance(word, str) for word in kind.values) else "its words are no texts"
        case inspect.BoolType():
            return "" if isinstance(field.default, bool) else "its default is neither true nor false"
        case inspect.StrType():
            return "" if isinstance(field.default, str) else "its default is no text"
        case _:
            return "its type is none of int, float, bool, str, Literal of texts"
