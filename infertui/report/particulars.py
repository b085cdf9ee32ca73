"""Everything about one run that speaks for or against its figures."""

from collections.abc import Iterator

from infertui.analysis.effective import identity
from infertui.analysis.summary_text import figures, headline, verdict_lines
from infertui.config.engine_options import owner_of
from infertui.config.fields import FIELDS
from infertui.config.parse import flat_values
from infertui.config.schema import Config
from infertui.report.data import DETAILED, Material
from infertui.report.document import Block, Bullets, Callout, Facts, Paragraph, Section
from infertui.report.subjects import Subject
from infertui.results.observations import REQUESTS
from infertui.results.result import Result
from infertui.text import clean
from infertui.units import format_bytes


def particulars(material: Material) -> Section:
    """A folded part for each run."""
    parts = tuple(_run(run, lost=run.result.id in material.lost) for run in material.subjects[:DETAILED])
    left = len(material.subjects) - len(parts)
    blocks: tuple[Block, ...] = (
        (Paragraph(f"The first {len(parts)} runs; the other {left} are in report.json, whole."),) if left > 0 else ()
    )
    return Section("each", "Each run", blocks, parts)


def _run(run: Subject, *, lost: bool) -> Section:
    result = run.result
    blocks: list[Block] = [Paragraph(f"Run id: {run.id}"), Paragraph(headline(result))]
    for level, text in verdict_lines(result):
        blocks.append(Callout("bad" if level == "invalid" else "", text))
    if lost:
        blocks.append(Callout("warning", f"{REQUESTS} is gone: of its requests only what is told here is known."))
    if result.error:
        blocks.append(Callout("bad", clean(f"{result.error.kind}: {result.error.message}")))
    if result.imported:
        blocks.append(
            Callout("warning", clean(f"Imported from {result.imported}; measured by {result.source or 'n/a'}."))
        )
    blocks.append(Facts((("started", clean(result.started)), *figures(result))))
    changed = tuple(f"{path} = {value}" for path, value in _changed(result))
    for name, rows in (
        ("What ran, as found by looking", tuple(identity(result, full=True))),
        ("Where", tuple(_environment(result))),
    ):
        if rows:
            blocks += [Paragraph(f"{name}:"), Facts(rows)]
    blocks += [Paragraph("Config, as far as it is not the default:"), Bullets(changed or ("nothing",))]
    mark = f" ({', '.join(run.marks)})" if run.marks else ""
    return Section(f"run-{run.number}", f"{run.number}  {run.label}{mark}", tuple(blocks), folded=True)


def _changed(result: Result) -> Iterator[tuple[str, str]]:
    """Keys of the config that differ from the defaults; those of engines that were not chosen mean nothing."""
    defaults = flat_values(Config())
    for path, value in flat_values(result.config).items():
        owner = owner_of(path) if path in FIELDS else None
        if owner is not None and owner.name != result.config.engine.name:
            continue
        if path in result.unknown:
            continue
        if value != defaults.get(path):
            yield clean(path), clean(str(value))
    for path in result.unknown:
        yield clean(path), "n/a (the imported file does not tell)"


def _environment(result: Result) -> Iterator[tuple[str, str]]:
    marks = result.fingerprint
    host = marks.host
    gpus = ", ".join(dict.fromkeys(gpu.name for gpu in marks.gpus)) if marks.gpus else ""
    rows = {
        "host": f"{host.hostname}  {host.os or ''}  kernel {host.kernel}",
        "CPU": f"{host.cpu_model or 'n/a'}, {host.physical_cores or 'n/a'} cores",
        "host memory": format_bytes(host.memory_total) if host.memory_total else "",
        "container": host.container or "",
        "GPUs": f"{len(marks.gpus)}: {gpus}" if gpus else "",
        "driver": f"{marks.driver}, up to CUDA {marks.cuda_driver}" if marks.driver else "",
        "Python": marks.python,
        "infertui": f"{marks.infertui} {marks.git_revision}",
        "config hash": marks.config_hash,
        "sampling": f"{result.sample_hz:g} Hz" if result.sample_hz else "",
    }
    for name, text in rows.items():
        if shown := clean(text).strip():
            yield name, shown
