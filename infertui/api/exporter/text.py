"""A page as Prometheus reads it: the text format, version 0.0.4.

It is written here and not by prometheus-client, which takes four times as long for labels as those of GPUs are: what is
saved is time of the process that measures. Its parser is what tests hold the text against.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from infertui.text import one_line

if TYPE_CHECKING:
    from infertui.api.exporter.family import ScrapedPage

CONTENT_TYPE = "text/plain; version=0.0.4"
"""The text is UTF-8, as that version says."""
LONGEST_LABEL = 200
"""Characters of a label's value: names of models and titles may be anything."""
_IN_LABELS = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
_IN_HELP = str.maketrans({"\\": r"\\", "\n": r"\n"})


def label_block(labels: Mapping[str, str]) -> str:
    """Labels as they stand behind a name, in the order of theirs, without those that have no value."""
    told = ((name, one_line(labels[name], LONGEST_LABEL)) for name in sorted(labels))
    pairs = ",".join(f'{name}="{text.translate(_IN_LABELS)}"' for name, text in told if text)
    return f"{{{pairs}}}" if pairs else ""


def exposition(page: "ScrapedPage") -> bytes:
    """The page's text."""
    return "".join(_lines(page)).encode()


def _lines(page: "ScrapedPage") -> Iterator[str]:
    for family, series in page.families():
        name = family.name
        yield f"# HELP {name} {family.help.translate(_IN_HELP)}\n# TYPE {name} {family.kind}\n"
        for block, value in series.items():
            yield f"{name}{block} {value!r}\n"
