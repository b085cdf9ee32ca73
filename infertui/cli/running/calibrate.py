"""`infertui calibrate`: what this device can do at most, measured once."""

import re
from typing import TYPE_CHECKING, Annotated

import typer

from infertui.cli.output import Painted, progress, say, say_json
from infertui.metrics.metric import NOT_AVAILABLE

if TYPE_CHECKING:
    from infertui.measure.roofline import DevicePeaks
    from infertui.runner.calibration import KnownDevice
    from infertui.targets.engine.peaks.peaks import Told

EPILOG = """[bold]Examples[/bold]

  infertui calibrate

  infertui calibrate --device cuda:1 --force

  infertui calibrate --device cpu --threads 8 --quick

  infertui calibrate --list

It takes up to a minute on a GPU, half of that on a CPU; with --quick about ten seconds. The figures are kept in
~/.local/state/infertui/ceilings.json (XDG_STATE_HOME), by GPU and driver or by CPU and threads, and every run on that
device is from then on shown as a share of them.
"""

_DEVICE = re.compile(r"auto|cpu|cuda|cuda:[0-9]{1,3}")
_WIDEST = 60


def calibrate(
    device: Annotated[
        str, typer.Option("--device", metavar="auto|cpu|cuda|cuda:N", help="auto: a GPU where PyTorch sees one.")
    ] = "auto",
    threads: Annotated[
        int, typer.Option("--threads", min=0, max=4096, help="Of a CPU, as device.threads; 0: the library's choice.")
    ] = 0,
    quick: Annotated[bool, typer.Option("--quick", help="Smaller and shorter: seconds, and less exact.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Measure again, even if it was measured before.")] = False,
    list_only: Annotated[
        bool, typer.Option("--list", help="Show what was measured before, and measure nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Measure the device's ceilings once: memory bandwidth by a copy, and matrix products by number format."""
    from infertui.errors import UsageError
    from infertui.results.peaks import read_peaks
    from infertui.text import clean

    if not _DEVICE.fullmatch(device):
        raise UsageError(f"--device {clean(device)[:80]!r} is not a device", remedy="auto, cpu, cuda or cuda:N.")
    if list_only:
        _list(read_peaks(), as_json=as_json)
        return
    found, fresh = _run(device, threads, quick=quick, force=force, silent=as_json)
    if as_json:
        _print_json(found, fresh=fresh)
    else:
        _print(found)
        if not fresh:
            say("  measured before; --force measures again")
        if found.disturbed:
            say(Painted("  Something disturbed it: measure again when nothing else runs.", "yellow"))


def _run(device: str, threads: int, *, quick: bool, force: bool, silent: bool) -> "tuple[DevicePeaks, bool]":
    import asyncio

    from infertui.results.peaks import find_peaks, keep_peaks, read_peaks
    from infertui.runner.calibration import Wanted
    from infertui.runner.calibration import calibrate as measure

    def kept(known: "KnownDevice") -> "DevicePeaks | None":
        if force:
            return None
        entry = find_peaks(read_peaks(), name=known.name, uuid=known.uuid, driver=known.driver, threads=known.threads)
        # One that was disturbed, or a quick one where more is asked for, does not save the measuring.
        return None if entry is None or entry.disturbed or (entry.quick and not quick) else entry

    def tell(told: "Told") -> None:
        if not silent:
            _progress(told)

    try:
        found, fresh = asyncio.run(measure(Wanted(device, threads, quick), kept=kept, tell=tell))
    except KeyboardInterrupt:
        say("\nstopped: nothing was kept", err=True)
        raise typer.Exit(130) from None
    if fresh:
        keep_peaks(found)
    return found, fresh


def _progress(told: "Told") -> None:
    """A line on standard error while it is measured: it is no part of the answer."""
    from infertui.targets.engine.peaks.peaks import Missing, PeaksSubject, Rate, Started
    from infertui.text import clean

    match told:
        case PeaksSubject():
            what = clean(told.device) or f"the CPU, {told.threads} threads"
            say(f"measuring {what} with {clean(told.software)}", err=True)
        case Started():
            progress(f"  {told.what} ...", after="\r")
        case Rate():
            say(f"  {told.what:<9} {_rate(told.what, max(told.rates))}", err=True)
        case Missing():
            say(f"  {told.what:<9} not measured: {clean(told.reason)}", err=True)
        case _:
            pass


def _rate(what: str, value: float) -> str:
    from infertui.measure.roofline import COPY
    from infertui.units import format_rate

    unit = "B/s" if what == COPY else "OP/s" if what == "int8" else "FLOP/s"
    return format_rate(value, unit)


def _print(found: "DevicePeaks") -> None:
    from infertui.analysis.roofline import device_named, reached
    from infertui.text import clean, one_line

    say(Painted(found.words, bold=True), f"  {found.uuid}  driver {found.driver}".rstrip() if found.uuid else "")
    how = "quick, " if found.quick else ""
    took = f", took {found.seconds:.0f} s" if found.seconds is not None else ""
    say(clean(f"  {how}measured {found.measured} by {found.software}{took}"))
    lines = [("", "measured", "datasheet", "reached", "spread", "")]
    for row in reached(found):
        if row.measured is None:
            lines.append((row.what, NOT_AVAILABLE, _or_missing(row.what, row.datasheet), "", "", row.missing))
            continue
        share = NOT_AVAILABLE if row.share is None else f"{row.share:.1%}"
        spread = NOT_AVAILABLE if row.spread is None else f"{row.spread:.1%}"
        lines.append(
            (row.what, _rate(row.what, row.measured), _or_missing(row.what, row.datasheet), share, spread, row.size)
        )
    widths = [max(len(line[column]) for line in lines) for column in range(5)]
    for line in lines:
        cells = [
            f"{line[0]:<{widths[0]}}",
            *(f"{cell:>{width}}" for cell, width in zip(line[1:5], widths[1:], strict=True)),
        ]
        say(("  " + "  ".join(cells) + "  " + one_line(line[5], _WIDEST)).rstrip())
    if found.copy_by_clock is not None:
        say(f"  copy by the host's clock: {_rate('copy', found.copy_by_clock)}")
    device = device_named(found.device)
    say(f"  datasheet: {device.source}, dense" if device else "  datasheet: this device is not in data/hardware.toml")
    for text in found.disturbed:
        say(Painted(f"  disturbed: {text}", "yellow"))
    for text in found.notes:
        say(f"  note: {clean(text)}")


def _or_missing(what: str, value: float | None) -> str:
    return NOT_AVAILABLE if value is None else _rate(what, value)


def _document(found: "DevicePeaks") -> dict[str, object]:
    from infertui.analysis.roofline import device_named, reached

    return {"ceilings": found, "datasheet": device_named(found.device), "reached": reached(found)}


def _print_json(found: "DevicePeaks", *, fresh: bool) -> None:

    from infertui.results.peaks import peaks_file

    document = {**_document(found), "fresh": fresh, "file": str(peaks_file())}
    say_json(document, indent=2)


def _list(entries: "tuple[DevicePeaks, ...]", *, as_json: bool) -> None:
    if as_json:
        say_json([_document(entry) for entry in entries], indent=2)
        return
    if not entries:
        say("nothing was calibrated yet: `infertui calibrate` measures this device")
    for entry in entries:
        _print(entry)
