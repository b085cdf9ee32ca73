"""What is compared, as the comparison shows it: runs by their rows, and benches by their arms. Pure."""

from collections.abc import Sequence

from msgspec import Struct

from infertui.analysis.bench import Bench, variation_text
from infertui.analysis.compare import Comparison
from infertui.results.table import ResultRow
from infertui.tui.queue.view import short_engine, short_model
from infertui.units import format_number


class Side(Struct, frozen=True):
    """One of what is compared: a run, or a configuration of a bench."""

    id: str
    """What comparisons call it."""
    name: str
    what: str = ""
    """What ran, in a few words."""
    against: str = ""
    """What speaks against it, in a word."""
    run: str = ""
    """The run whose details are those of this side."""
    extras: dict[str, str] = {}
    """Figures without a ratio, by name."""


class Scene(Struct, frozen=True):
    """What is compared, and how it is looked at: `found` holds every side but the first against the first, in order."""

    sides: tuple[Side, ...]
    found: tuple[Comparison, ...]
    focus: int = 1
    """Which of the sides is told in full; never the baseline."""
    first: int = 1
    """The first of the others that the table shows."""
    unfolded: bool = False
    """Whether all differences are shown."""
    title: str = ""
    remarks: tuple[str, ...] = ()
    """What has to be known before anything else, such as rounds of a bench that do not count."""


def of_runs(rows: Sequence[ResultRow], found: Sequence[Comparison]) -> Scene:
    """Runs, the baseline first; `found` holds the others against it."""
    devices = {row.device for row in rows}
    return Scene(tuple(_side(row, with_device=len(devices) > 1) for row in rows), tuple(found))


def of_bench(bench: Bench) -> Scene:
    """The paired result of a bench, its baseline first."""
    used = len(bench.used)
    title = f"{bench.bench}: paired over {used} of {bench.rounds} rounds"
    if bench.missing:
        title += f", {bench.missing} runs to come or missing"
    left_out = [*bench.left_out] if len(bench.left_out) <= 3 or used else []
    remarks = (*(f"{arm.name} failed: {arm.error}" for arm in bench.failed), *bench.invalid, *left_out)
    return Scene(tuple(
        Side(
            arm.name,
            arm.name,
            "  ".join(
                part
                for part in (
                    f"{len(arm.runs)} runs",
                    "" if arm.throughput is None else f"{format_number(arm.throughput)} tok/s",
                    variation_text(arm),
                )
                if part
            ),
            run=arm.runs[0] if arm.runs else "",
        )
        for arm in bench.arms
    ), bench.comparisons, title=title, remarks=remarks)  # fmt: skip


def _side(row: ResultRow, *, with_device: bool) -> Side:
    against = "" if row.state == "finished" and row.valid else "invalid" if row.state == "finished" else row.state
    return Side(row.id, row.name or row.id, what_ran(row, with_device=with_device), against, row.id, _extras(row))


def what_ran(row: ResultRow, *, with_device: bool = False) -> str:
    """What a run measured, in a few words that its name need not say."""
    model = short_model(row.model)
    parts = [
        "" if model in row.name else model, short_engine(row.engine), row.mode, row.form,
        "" if row.batch_size is None else f"batch {row.batch_size}",
        row.device if with_device else "",
    ]  # fmt: skip
    return "  ".join(part for part in parts if part)


def _extras(row: ResultRow) -> dict[str, str]:
    """Figures that have no ratio: shares of what the device can do, and what is known of the outputs."""
    shares = {"MBU": row.mbu, "MFU": row.mfu, "equal tokens": row.agreement}
    found = {name: f"{share:.1%}" for name, share in shares.items() if share is not None}
    return found | ({"perplexity": f"{row.perplexity:.4g}"} if row.perplexity is not None else {})
