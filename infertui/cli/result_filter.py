"""KEY=VALUE on the command line: which results are meant."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from infertui.results.result import Result

Filter = tuple[str, str]

SHORT_KEYS: dict[str, "Callable[[Result], str]"] = {
    "id": lambda result: result.id,
    "bench": lambda result: result.bench.bench if result.bench else "",
    "name": lambda result: result.name,
    "state": lambda result: result.state,
    "valid": lambda result: "yes" if result.verdict.valid else "no",
    "engine": lambda result: result.loaded.engine if result.loaded else result.setup.target.name or "",
    "device": lambda result: result.loaded.device_name if result.loaded else "",
    "model": lambda result: result.setup.model or "",
}


def parse_filters(texts: Sequence[str]) -> list[Filter]:
    """Raises UsageError for what is not KEY=VALUE, and for a key that there is not."""
    return [_parse(text) for text in texts]


def matches(result: "Result", filters: Sequence[Filter]) -> bool:
    """Whether all of them hold. Raises UsageError for a value that its key cannot have."""
    return all(_matches(result, key, value) for key, value in filters)


def _parse(text: str) -> Filter:
    from infertui.config.fields import FIELDS, nearest
    from infertui.errors import UsageError

    key, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"{text!r} is not of the form KEY=VALUE", remedy="For example: infertui results state=failed")
    if key not in SHORT_KEYS and key not in FIELDS and not key.startswith("labels."):
        raise UsageError(
            f"there is no key {key!r} to filter by; nearest: {nearest(key)}",
            remedy=f"Keys: {', '.join(SHORT_KEYS)}, labels.NAME, and those of `infertui config keys`.",
        )
    return key, value


def _matches(result: "Result", key: str, value: str) -> bool:
    if key in SHORT_KEYS:
        return SHORT_KEYS[key](result) == value
    if key.startswith("labels."):
        return result.setup.get(key) == value
    from infertui.config.fields import parse_text

    wanted = parse_text(key, value, source="filter")
    found = result.setup.get(key)
    return found is not None and bool(found == wanted)
