"""What a report consists of: plain values, foreign text unescaped, for any writer."""

from typing import Literal, TypeAlias

from msgspec import Struct

Level = Literal["", "good", "warning", "bad"]


class Cell(Struct, frozen=True):
    """A cell of a table."""

    text: str
    level: Level = ""


class TableColumn(Struct, frozen=True):
    """A column; numbers stand on the right."""

    name: str
    right: bool = False


class ReportTable(Struct, frozen=True, tag="table"):
    """A cell for each column in each row. `runs` are the ids that its figures come from."""

    columns: tuple[TableColumn, ...]
    rows: tuple[tuple[Cell, ...], ...]
    runs: tuple[str, ...]
    caption: str = ""


class Paragraph(Struct, frozen=True, tag="paragraph"):
    """Running text."""

    text: str


class Callout(Struct, frozen=True, tag="callout"):
    """What must not be overlooked; `head` says what it is about."""

    level: Level
    text: str
    head: str = ""


class Bullets(Struct, frozen=True, tag="list"):
    """Short lines."""

    items: tuple[str, ...]


class Facts(Struct, frozen=True, tag="facts"):
    """Names and what they are."""

    rows: tuple[tuple[str, str], ...]


class ReportFigure(Struct, frozen=True, tag="figure"):
    """A chart by its name; `alt` says in words what it shows, `runs` are the ids that it draws."""

    name: str
    title: str
    caption: str
    alt: str
    runs: tuple[str, ...]


Block: TypeAlias = ReportTable | Paragraph | Callout | Bullets | Facts | ReportFigure


class ReportSection(Struct, frozen=True):
    """A heading with what is under it; a folded one shows no more than its heading until it is opened."""

    key: str
    title: str
    blocks: tuple[Block, ...]
    parts: tuple["ReportSection", ...] = ()
    folded: bool = False


class Document(Struct, frozen=True):
    """A report. `date` is that of the newest run, or the one that was asked for."""

    title: str
    date: str
    infertui: str
    subtitle: str
    sections: tuple[ReportSection, ...]
