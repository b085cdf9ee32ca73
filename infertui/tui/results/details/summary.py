"""The summary of a run as lines of text: its verdict, its figures, its limits, energy, quality, and place. Pure."""

from collections.abc import Iterable, Sequence

from rich.text import Text

from infertui.analysis.effective import FALLBACK
from infertui.analysis.energy import energy_rows
from infertui.analysis.limits import limit_lines, limits_of
from infertui.analysis.summary_text import DIVERGED, figures, headline, quality_rows, remedy, verdict_lines
from infertui.config.fields import FIELDS
from infertui.metrics.metric import NOT_AVAILABLE
from infertui.metrics.reads import fallback_of
from infertui.results.details import TELEMETRY, RunDetails
from infertui.results.result import Result
from infertui.tui.widgets.cells import NAME_WIDTH, RenderContext, beside, entry, fit, foreign, paragraph, section
from infertui.tui.widgets.gauges import bar
from infertui.units import format_seconds

Lines = list[Text]
_GAUGE = 40


def summary(details: RunDetails, width: int, look: RenderContext) -> Lines:
    """What was measured, what it says, what speaks against it."""
    result, colours = details.result, look.palette
    if result is None:
        state = "it is still under way" if details.under_way else "it was cut off before anything of it was kept"
        return [
            *paragraph(f"This run has no result: {state}.", width, colours.warning),
            Text(),
            *paragraph(f"What it measured so far is in {details.folder}.", width, ""),
        ]
    lines = paragraph(headline(result), width, colours.title)
    if result.loaded and (instead := fallback_of(result.loaded)):
        lines += entry(FALLBACK, instead, width, look, style=colours.warning)
    for name in details.lost:
        gone = (
            f"{name} cannot be read: power and clocks over time are not shown."
            if name == TELEMETRY
            else f"{name} is gone from its folder: batches, intervals of comparisons and exports of requests are not "
            "available."
        )
        lines += paragraph(gone, width, colours.warning)
    lines += [Text(), *_state(result, width, look), Text(), *_figures(result, width, look)]
    parts = (_limits(result, width, look), _energy(result, width, look), _quality(result, width, look),
             _bench(result, width, look), _imported(result, width, look), _thresholds(result, width, look))  # fmt: skip
    for part in parts:
        if part:
            lines += [Text(), *part]
    if result.phases:
        lines += [Text(), *_phases(result, width, look)]
    if result.setup.labels:
        lines += [Text(), *section("labels", look)]
        lines += [line for key, value in result.setup.labels.items() for line in entry(key, value, width, look)]
    return lines


def _state(result: Result, width: int, look: RenderContext) -> Lines:
    """The verdict in words, or what went wrong and what to do about it."""
    colours = look.palette
    lines: Lines = []
    if result.state == "finished" and result.verdict.valid:
        said = "the file says nothing against" if result.imported else "nothing speaks against"
        lines += paragraph(f"{look.glyph('✓', '+')} valid: {said} these figures", width, colours.ok)
    elif result.state == "finished":
        lines += paragraph(f"{look.glyph('✗', 'x')} invalid: do not believe these figures", width, colours.error)
    else:
        lines += paragraph(f"{look.glyph('✗', 'x')} {result.state}", width, colours.error)
    if error := result.error:
        lines += entry("error", f"{error.kind}: {error.message}", width, look, style=colours.error)
        if error.remedy:
            lines += entry("remedy", error.remedy, width, look)
        for name, value in error.details.items():
            lines += entry(name, value, width, look)
    told = verdict_lines(result)
    against = [text for level, text in told if level == "invalid"]
    for text in against:
        lines += entry("invalid", text, width, look, style=colours.warning)
    if advice := remedy(result):
        lines += entry("remedy", advice, width, look)
    for level, text in told:
        lines += entry(level, text, width, look) if level != "invalid" else []
    if result.error and result.error.log_tail:
        lines += [Text(), *section("its last words", look), *foreign(result.error.log_tail)]
    return lines


def _figures(result: Result, width: int, look: RenderContext) -> Lines:
    """The figures, less those that have a section of their own."""
    measured = result.has_throughput
    elsewhere = {"phases", *(name for name, _ in energy_rows(result)), *(name for name, _ in limit_lines(result))}
    elsewhere.update(name for name, _ in quality_rows(result))
    return [
        line
        for name, value in figures(result)
        if name not in elsewhere and (measured or not value.startswith(NOT_AVAILABLE))
        for line in entry(name, value, width, look, style=look.palette.figure if name == "output throughput" else "")
    ]


def _limits(result: Result, width: int, look: RenderContext) -> Lines:
    """How near it came to what the device can do, drawn and told, and what to try next."""
    told = limit_lines(result)
    if not told:
        return []
    limits = limits_of(result)
    shares = {"MBU": limits.mbu, "MFU": limits.mfu} if limits else {}
    lines = section("roofline", look)
    for name, text in told:
        lines += entry(name, text, width, look, style=look.palette.accent if name == "next" else "")
        if (share := shares.get(name)) is not None:
            room = max(4, min(_GAUGE, width - NAME_WIDTH))
            gauge = bar(min(1.0, max(0.0, share)), room, style=look.palette.accent, ascii=look.ascii)
            lines.append(beside(Text(" " * NAME_WIDTH), gauge))
    return lines


def _energy(result: Result, width: int, look: RenderContext) -> Lines:
    """With where it comes from. Nothing where nothing was measured."""
    if not result.has_throughput:
        return []
    told = energy_rows(result)
    return [*section("energy", look), *_entries(told, width, look)] if told else []


def _quality(result: Result, width: int, look: RenderContext) -> Lines:
    """Whether it says the same as its reference."""
    told = quality_rows(result)
    lines = section("quality", look) if told else []
    for name, text in told:
        lines += entry(name, text, width, look, style=look.palette.warning if name == DIVERGED else "")
    return lines


def _bench(result: Result, width: int, look: RenderContext) -> Lines:
    """Its place among the runs that it was measured with."""
    place = result.bench
    if place is None:
        return []
    role = ", the baseline" if place.baseline else ""
    told = [("bench", place.bench), ("config", f"{place.arm}{role}"), ("round", f"{place.round + 1} of {place.rounds}")]
    if place.arms:
        told.append(("measured with", ", ".join(arm for arm in place.arms if arm != place.arm)))
    return [*section("bench", look), *_entries(told, width, look)]


def _imported(result: Result, width: int, look: RenderContext) -> Lines:
    """Which file its figures are from, and what that did not tell."""
    if not (result.imported or result.source):
        return []
    told = [("measured by", result.source or "another program")]
    if result.imported:
        sha = f"  SHA-256 {result.imported_sha256[:16]}" if result.imported_sha256 else ""
        told.append(("file", f"{result.imported}{sha}"))
    if result.untold:
        told.append(("not known", ", ".join(_folded(result.untold))))
    return [*section("imported" if result.imported else "external", look), *_entries(told, width, look)]


def _folded(paths: Sequence[str]) -> list[str]:
    """Keys of the config, whole tables as one: `engine.vllm.*` where none of its keys is known."""
    rest, folded = set(paths), list[str]()
    for path in paths:
        tables = path.split(".")[:-1]
        if path not in rest:
            continue
        for depth in range(1, len(tables) + 1):
            prefix = ".".join(tables[:depth]) + "."
            its = {key for key in FIELDS if key.startswith(prefix)}
            if len(its) > 1 and its <= set(paths):
                rest -= its
                folded.append(f"{prefix}*")
                break
        else:
            folded.append(path)
    return folded


def _thresholds(result: Result, width: int, look: RenderContext) -> Lines:
    """What the verdict went by."""
    if not result.has_throughput:
        return []
    table = "validity."
    values = {key.removeprefix(table): value for key, value in result.setup.all().items() if key.startswith(table)}
    if not values:
        return []
    shown = "  ".join(f"{name} {_value(value)}" for name, value in values.items())
    return [*section("judged by", look), *entry("thresholds", shown, width, look, style=look.palette.muted)]


def _value(value: object) -> str:
    return (
        ("on" if value else "off")
        if isinstance(value, bool)
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
    )


def _entries(told: Iterable[tuple[str, str]], width: int, look: RenderContext) -> Lines:
    return [line for name, value in told for line in entry(name, value, width, look)]


def _phases(result: Result, width: int, look: RenderContext) -> Lines:
    longest = max(result.phases.values()) or 1.0
    room = max(4, min(40, width - NAME_WIDTH - 12))
    return [
        *section("phases", look),
        *(
            beside(
                fit(name, NAME_WIDTH, look, style=look.palette.muted),
                fit(format_seconds(seconds), 9, look, align="right"),
                Text("  "),
                bar(seconds / longest, room, style=look.palette.accent, ascii=look.ascii),
            )
            for name, seconds in result.phases.items()
        ),
    ]
