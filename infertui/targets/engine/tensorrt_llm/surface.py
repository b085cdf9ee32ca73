"""What the installed version takes: arguments are filtered by its own surface, never passed in hope.

Its classes refuse what they do not know, and what they know differs from version to version.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from infertui.errors import EngineError
from infertui.text import clean, shorten


def fields_of(kind: Any) -> frozenset[str] | None:
    """The arguments that a class takes: a pydantic model's fields and their aliases, else its signature's.

    None where it takes anything.
    """
    fields = getattr(kind, "model_fields", None)
    if isinstance(fields, Mapping):
        return frozenset(fields) | frozenset(_aliases(fields))
    parameters = inspect.signature(kind).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return frozenset(parameter.name for parameter in parameters)


def _aliases(fields: Mapping[str, Any]) -> list[str]:
    found: list[str] = []
    for field in fields.values():
        for name in ("alias", "validation_alias"):
            alias = getattr(field, name, None)
            choices = getattr(alias, "choices", (alias,))
            found += [choice for choice in choices if isinstance(choice, str)]
    return found


class Surface:
    """The library as it is installed. `version` names it in errors."""

    def __init__(self, library: Any, version: str) -> None:
        self._library = library
        self._version = clean(version)

    def find(self, *names: str, why: str, remedy: str = "") -> Any:
        """The first class of these names that the version has. Raises EngineError when it has none of them."""
        for home in (getattr(self._library, "llmapi", None), self._library):
            for name in names:
                if (found := getattr(home, name, None)) is not None:
                    return found
        raise EngineError(f"TensorRT-LLM {self._version} has no {' or '.join(names)}, which {why} needs", remedy=remedy)

    def has(self, kind: Any, name: str) -> bool:
        """Whether a class takes an argument."""
        fields = fields_of(kind)
        return fields is None or name in fields

    def pick(self, kind: Any, *names: str, why: str) -> str:
        """The first of these arguments that a class takes. Raises EngineError when it takes none."""
        for name in names:
            if self.has(kind, name):
                return name
        raise self._lacks(kind, names[0], why)

    def make(self, kind: Callable[..., Any], needed: Mapping[str, Any], wished: Mapping[str, Any], *, why: str) -> Any:
        """A new object. `needed` arguments must be known to the version, `wished` ones are left out where not.

        Raises EngineError naming the argument, the version and `why` it is needed; and for values that it refuses.
        """
        for name in needed:
            if not self.has(kind, name):
                raise self._lacks(kind, name, why)
        arguments = {name: value for name, value in wished.items() if self.has(kind, name)} | dict(needed)
        try:
            return kind(**arguments)
        except (TypeError, ValueError) as error:
            raise EngineError(
                f"TensorRT-LLM {self._version} refuses {_name(kind)}: {shorten(clean(str(error)), 400)}"
            ) from error

    def _lacks(self, kind: Any, argument: str, why: str) -> EngineError:
        return EngineError(
            f"TensorRT-LLM {self._version} has no {_name(kind)}({argument}=...), which {why} needs",
            remedy="Use another version, or leave that setting at its default.",
        )


def _name(kind: Any) -> str:
    return str(getattr(kind, "__name__", kind))
