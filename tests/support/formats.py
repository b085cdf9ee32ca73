"""What stands in files and on the wire, as an outline in text: keys, words and types, without a name of Python's."""

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import inspect


def outline(roots: Mapping[str, Any]) -> list[str]:
    """A line for every key, below what holds it: `!` where it has to be there, its type, or the words that it takes.

    A structure that stands further up is named by the place where it was first.
    """
    seen: dict[type, str] = {}
    lines = []
    for name, kind in roots.items():
        lines += ["", *_key(name, inspect.type_info(kind), seen, name, 0)]
    return lines


def _key(name: str, kind: inspect.Type, seen: dict[type, str], place: str, depth: int) -> Iterator[str]:
    structs = list(_structs(kind))
    first = [struct for struct in structs if struct.cls not in seen]
    again = [seen[struct.cls] for struct in structs if struct.cls in seen]
    yield "  " * depth + " ".join([name, _type(kind), *(f"(as {where})" for where in again)])
    for struct in first:
        seen[struct.cls] = place if len(structs) == 1 else f"{place}, {_tag(struct)}"
        inner = depth + 1
        if len(structs) > 1:
            yield "  " * inner + f"{struct.tag_field} = {_tag(struct)}" if struct.tag_field else "  " * inner + "or"
            inner += 1
        for field in struct.fields:
            key = field.encode_name
            required = "!" if field.required else ""
            yield from _key(key + required, field.type, seen, f"{place}.{key}", inner)


def _tag(struct: inspect.StructType) -> str:
    return "" if struct.tag is None else repr(struct.tag)


def _structs(kind: inspect.Type) -> Iterator[inspect.StructType]:
    match kind:
        case inspect.StructType():
            yield kind
        case inspect.Metadata(type=inner):
            yield from _structs(inner)
        case inspect.UnionType(types=kinds) | inspect.TupleType(item_types=kinds):
            for one in kinds:
                yield from _structs(one)
        case inspect.ListType(item_type=inner) | inspect.VarTupleType(item_type=inner):
            yield from _structs(inner)
        case inspect.DictType(value_type=inner):
            yield from _structs(inner)


def _type(kind: inspect.Type) -> str:
    match kind:
        case inspect.Metadata(type=inner):
            return _type(inner)
        case inspect.StructType():
            return "table"
        case inspect.UnionType(types=kinds):
            return " or ".join(sorted({_type(one) for one in kinds}, key=lambda word: (word == "null", word)))
        case inspect.LiteralType(values=values):
            return " | ".join(map(str, values))
        case inspect.ListType(item_type=inner) | inspect.VarTupleType(item_type=inner):
            return f"list of {_bracketed(inner)}"
        case inspect.TupleType(item_types=kinds):
            return f"list of {len(kinds)}: {', '.join(map(_bracketed, kinds))}"
        case inspect.DictType(key_type=key, value_type=inner):
            return f"map of {_type(key)} to {_bracketed(inner)}"
        case _:
            return _PLAIN.get(type(kind), type(kind).__name__)


def _bracketed(kind: inspect.Type) -> str:
    return f"({text})" if " " in (text := _type(kind)) else text


_PLAIN: dict[type[inspect.Type], str] = {
    inspect.StrType: "text",
    inspect.IntType: "integer",
    inspect.FloatType: "number",
    inspect.BoolType: "yes/no",
    inspect.NoneType: "null",
    inspect.AnyType: "anything",
    inspect.RawType: "anything",
}
