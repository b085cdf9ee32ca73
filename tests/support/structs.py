"""Hypothesis strategies for msgspec structs, made from their types: every field, every constraint."""

from typing import Any

from hypothesis import strategies as st
from msgspec import inspect

_INT64 = 2**63


def values_of(kind: Any) -> st.SearchStrategy[Any]:
    """Values of a type that msgspec can decode."""
    return _values(inspect.type_info(kind))


def _values(kind: inspect.Type) -> st.SearchStrategy[Any]:  # noqa: C901 (a case a kind of type)
    match kind:
        case inspect.Metadata(type=inner):
            return _values(inner)
        case inspect.NoneType():
            return st.none()
        case inspect.BoolType():
            return st.booleans()
        case inspect.IntType(ge=low, le=high):
            return st.integers(-_INT64 if low is None else low, _INT64 - 1 if high is None else high)
        case inspect.FloatType(gt=above, ge=low, le=high):
            bottom = low if above is None else above
            return st.floats(bottom, high, exclude_min=above is not None, allow_nan=False, allow_infinity=False)
        case inspect.StrType(pattern=None, min_length=shortest):
            return st.text(st.characters(exclude_categories=["Cs"]), min_size=shortest or 0, max_size=12)
        case inspect.StrType(pattern=str(pattern)):
            # Python's own `$` also matches before a final newline.
            ascii_text = st.characters(codec="ascii", exclude_categories=["Cc"])
            return st.from_regex(pattern, alphabet=ascii_text).filter(lambda text: text.isprintable())
        case inspect.LiteralType(values=choices):
            return st.sampled_from(choices)
        case inspect.UnionType(types=kinds):
            return st.one_of([_values(one) for one in kinds])
        case inspect.ListType(item_type=item):
            return st.lists(_values(item), max_size=3)
        case inspect.VarTupleType(item_type=item):
            return st.lists(_values(item), max_size=2).map(tuple)
        case inspect.TupleType(item_types=items):
            return st.tuples(*map(_values, items))
        case inspect.AnyType():
            return st.none() | st.booleans() | st.integers(0, 9) | st.text("ab")
        case inspect.DictType(key_type=key, value_type=value):
            return st.dictionaries(_values(key), _values(value), max_size=2)
        case inspect.StructType(cls=struct, fields=fields):
            return st.builds(struct, **{field.name: _values(field.type) for field in fields})
        case _:
            raise NotImplementedError(f"no values for {kind}")
