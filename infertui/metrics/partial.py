"""Structs that hold a few keys of another one, of which all may be missing: how lines of any version are read.

A line of results.jsonl has 5 kB; decoding what the index needs of it takes a few microseconds, whatever else it holds.
"""

import types
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct

_Integer = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
"""What a column of SQLite holds."""
_Tree = dict[str, "_Tree"]


def partial(whole: type[Struct], paths: Iterable[str], required: Mapping[str, Any] | None = None) -> type[Struct]:
    """A struct like `whole` with no more than the fields at dotted `paths`, all of which may be missing.

    What is missing is nothing of its kind, whatever its default is now: an empty text, an empty collection, and None of
    a number, since a number that is not told is not 0. Words of a fixed choice are any text, since other versions have
    others. It has the methods of `whole`. `required` are fields that must be there, with their types.
    """
    tree: _Tree = {}
    for path in paths:
        at = tree
        for name in path.split("."):
            at = at.setdefault(name, {})
    return _partial(whole, tree, required or {})


def _partial(whole: type[Struct], tree: _Tree, required: Mapping[str, Any]) -> type[Struct]:
    hints = get_type_hints(whole, include_extras=True)
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = list(required.items())
    for name, below in tree.items():
        if name in required:
            continue
        kind = _loose(hints[name], below)
        fields.append((name, kind, _nothing(kind)))
    renamed = {one.name: one.encode_name for one in msgspec.structs.fields(whole) if one.encode_name != one.name}
    methods = {name: found for name, found in vars(whole).items() if isinstance(found, property | types.FunctionType)}
    own = {name: found for name, found in methods.items() if not name.startswith("__")}
    return msgspec.defstruct(f"Partial{whole.__name__}", fields, namespace=own, frozen=True, gc=False, rename=renamed)


def _loose(hint: Any, below: _Tree) -> Any:
    """The type of a field as other versions may fill it."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _Integer if inner[0] is int else _loose(inner[0], below)
    if origin is Literal:
        return str if all(isinstance(word, str) for word in inner) else _Integer
    if hint is int:
        return _Integer
    if origin in (Union, types.UnionType):
        return Union[tuple(_loose(one, below) for one in inner)]  # noqa: UP007 (of types that are found here)
    if origin in (tuple, dict, list):
        return origin[tuple(one if one is Ellipsis else _loose(one, {}) for one in inner)]
    if isinstance(hint, type) and issubclass(hint, Struct):
        names = below or {field.name: {} for field in msgspec.structs.fields(hint)}
        return _partial(hint, names, {})
    return hint


def _nothing(kind: Any) -> Any:
    """What stands for a field that is missing."""
    if type(None) in get_args(kind):
        return None
    if isinstance(kind, type) and issubclass(kind, Struct):
        return kind()
    plain = get_args(kind)[0] if get_origin(kind) is Annotated else get_origin(kind) or kind
    if plain in (int, float):
        return None
    return msgspec.field(default_factory=plain) if plain in (dict, list) else plain()
