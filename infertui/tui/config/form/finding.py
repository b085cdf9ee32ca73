"""The keys that somebody may mean who types a word: the likeliest first, those that mean nothing here last."""

from infertui.config.fields import called, field_of, nearest
from infertui.tui.config import engines
from infertui.tui.config.form.form import Form
from infertui.tui.config.form.groups import first_page

_NOT_BY_NAME = 5


def found(form: Form, wanted: str) -> list[str]:
    """The keys that somebody who types `wanted` may mean: by name, else by description, else the nearest.

    What other tools call a key finds it too: `osl` is workload.output_len, and `batch` workload.batch_size first.
    """
    words = wanted.lower().replace("-", "_").split()
    keys = list(form.all_keys())
    if not words:
        return keys
    other = called("_".join(words))
    ranks = {key: _rank(key, words, other) for key in keys}
    named = [key for key in keys if ranks[key] < _NOT_BY_NAME]
    matching = named or [key for key in keys if all(word.replace("_", " ") in _about(key) for word in words)]
    if not matching:
        near = nearest("_".join(words))
        return [near] if near in keys else []
    page = first_page(form.values)
    return sorted(
        matching, key=lambda key: (not engines.shows(form.values, key), ranks[key], key not in page)
    )  # fmt: skip


def _rank(key: str, words: list[str], other: str) -> int:
    """How well a key is named by `words`, 0 best; `other` is the key that other tools call so."""
    whole, last = "_".join(words), key.lower().rpartition(".")[2]
    if key == other or whole in (last, key.lower()):
        return 0
    if last.startswith(whole):
        return 1
    if all(any(part.startswith(word) for part in last.split("_")) for word in words):
        return 2
    if all(word in last for word in words):
        return 3
    return 4 if all(word in key.lower() for word in words) else _NOT_BY_NAME


def _about(key: str) -> str:
    field = field_of(key)
    return f"{key.replace('_', ' ')} {field.description}".lower() if field else key
