"""The sections of a report that decide: what settings do, what to use for a goal, what to avoid."""

import re
from collections.abc import Sequence

from msgspec.structs import replace

from infertui.analysis.decision import wording
from infertui.analysis.decision.decide import Impact, TaskAdvice
from infertui.report.data import ReportData
from infertui.report.document import (
    Block,
    Bullets,
    Callout,
    Cell,
    Level,
    Paragraph,
    ReportSection,
    ReportTable,
    TableColumn,
)

_MOST_TASKS = 6
_INVALID = re.compile(r" is invalid: .*", re.DOTALL)
_TOLD_ELSEWHERE = ("invalid", "failed", "interrupted")
_MOST_IMPACTS = 12
_LEFT = frozenset({"configuration", "run", "verdict", ""})


def recommendations(material: ReportData) -> ReportSection | None:
    """For each task with two configurations or more: the table, what to use, what to avoid."""
    advice = material.advice
    told = [_briefly(task) for task in advice.tasks if len(task.configurations) > 1]
    blocks: list[Block] = []
    for task in told[:_MOST_TASKS]:
        blocks.append(_configurations(task))
        blocks += [Paragraph(note) for note in wording.task_notes(task, advice)]
        first, *others = wording.choice_lines(task, advice)
        level: Level = "good" if task.choices[0].sure else "warning"
        blocks.append(Callout(level, f"{first}.", f"To use, of {task.task}"))
        if lines := (*others, *wording.commands(task, advice)):
            blocks.append(Bullets(lines))
        if task.avoid:
            blocks.append(Paragraph("To avoid:"))
            blocks.append(Bullets(tuple(wording.avoid_text(one) for one in task.avoid)))
    if (more := len(told) - _MOST_TASKS) > 0:
        blocks.append(Paragraph(f"{more} more tasks: `infertui advise` tells of all."))
    return ReportSection("advice", "What to use", tuple(blocks)) if blocks else None


def _briefly(task: TaskAdvice) -> TaskAdvice:
    """Without the reasons why runs are invalid or have failed, which the cautions tell of each run."""

    def brief(why: str) -> str:
        return next((word for word in _TOLD_ELSEWHERE if why.startswith(f"{word}:")), why)

    return replace(
        task,
        configurations=tuple(
            replace(one, against=brief(one.against), unlike=without_reasons(one.unlike)) for one in task.configurations
        ),
        avoid=tuple(replace(one, problem=brief(one.problem)) for one in task.avoid),
    )


def without_reasons(unlike: Sequence[str]) -> tuple[str, ...]:
    """Why two runs are unlike; of invalid ones no more than that they are."""
    return tuple(dict.fromkeys(_INVALID.sub(" is invalid", text) for text in unlike))


def impacts(material: ReportData) -> ReportSection | None:
    """What batch size, prompt and output length do, all else being equal."""
    told = [impact for impact in material.advice.impacts if wording.tells(impact)]
    blocks: list[Block] = []
    for impact in told[:_MOST_IMPACTS]:
        blocks += [_impact(impact), Bullets(tuple(wording.impact_lines(impact)))]
    if (more := len(told) - _MOST_IMPACTS) > 0:
        blocks.append(Paragraph(f"{more} more: `infertui advise --json` has all."))
    return ReportSection("impacts", "What settings do", tuple(blocks)) if blocks else None


def _configurations(task: TaskAdvice) -> ReportTable:
    runs = tuple(run for one in task.configurations for run in one.runs)
    return _table(wording.CONFIGURATIONS, wording.configuration_rows(task), runs, f"{task.task}.")


def _impact(impact: Impact) -> ReportTable:
    runs = tuple(one.run for one in impact.points)
    return _table(wording.impact_heads(impact), wording.impact_rows(impact), runs, f"{wording.impact_title(impact)}.")


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], runs: tuple[str, ...], caption: str) -> ReportTable:
    columns = tuple(TableColumn(name, right=name not in _LEFT) for name in heads)
    return ReportTable(columns, tuple(tuple(Cell(text) for text in row) for row in rows), runs, caption)
