"""What runs of a form are called: what was loaded, and what differs from it, as in `demo gpt2 int8 bs=8`."""

import re
from urllib.parse import urlsplit

from infertui.config.sweep import short_name
from infertui.text import one_line
from infertui.tui.config.form.form import Form

_MOST_WORDS = 6
_WIDEST = 40
# Their values say whose they are.
_BARE = ("model.id", "engine.name", "engine.dtype", "engine.quantization", "device.name", "target.url")


def title_of(form: Form) -> tuple[str, str]:
    """The first word of the name, and the others: what of it differs from what was loaded is brought up to date."""
    first, _, rest = (one_line(form.base.title, 200) or _word("model.id", form.text("model.id"))).partition(" ")
    return first, renamed(rest, form, besides=() if form.base.title else ("model.id",))


def renamed(name: str, form: Form, *, besides: tuple[str, ...] = ()) -> str:
    """`bs=4 isl=128` with the words of changed keys brought up to date, and those added that it lacks."""
    words = name.split()
    added = 0
    for key in form.all_keys():
        if not form.changed(key) or form.is_swept(key) or key in besides:
            continue
        word, old = _word(key, form.text(key)), _word(key, form.old_text(key) or "")
        start = "" if key in _BARE else f"{short_name(key)}="
        at = [index for index, other in enumerate(words) if other == old or (start and other.startswith(start))]
        if at:
            words[at[0]] = word
        elif added < _MOST_WORDS:
            words.append(word)
            added += 1
    return " ".join(word for word in words if word)


def file_name(form: Form) -> str:
    """The same as a file may be called: `demo-gpt2-int8-bs8`."""
    name = re.sub(r"[^\w.+-]+", "-", " ".join(title_of(form)).replace("=", "")).strip("-.")
    return name[:80] or "config"


def _word(key: str, text: str) -> str:
    """The word for a value of a key; empty where there is nothing to say."""
    if key == "model.id":
        text = text.rstrip("/").rpartition("/")[2].rpartition(":")[2]
    elif key == "target.url":
        text = urlsplit(text).netloc.rpartition("@")[2] if "://" in text else text
    word = one_line(text.strip(), _WIDEST).replace(" ", "_")
    return word if key in _BARE else f"{short_name(key)}={word}".replace(" ", "_")
