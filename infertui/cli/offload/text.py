"""What a study of offloading found, as text: one table, what it comes to, the curves."""

from collections.abc import Callable, Mapping

from infertui.analysis.curve import curve
from infertui.analysis.offload.kept import KeptProfiles, Profile, ProfileName
from infertui.analysis.offload.points import OffloadPoint
from infertui.analysis.offload.profiles import LADDER, label
from infertui.analysis.offload.study import OffloadStudy, Row
from infertui.metrics.metric import NOT_AVAILABLE
from infertui.text import clean
from infertui.units import format_bytes, format_number, format_seconds

_GB, _MIB = 1e9, 1 << 20
_HEAD = (
    "", "layers", "VRAM GB", "VRAM %", "tok/s", "95 %", "prefill tok/s", "ms/token", "GPU %", "C", "+C", "tok/s/W",
    "J/token", "x CPU", "gain", "",
)  # fmt: skip
_FIRST_LEFT_OUT = ("+C", "C", "GPU %", "prefill tok/s", "tok/s/W", "J/token", "gain", "VRAM GB", "ms/token")
_NOTABLE = 0.02
"""The share of the GPU from which on it is told that others have taken more of it."""
_LONGEST_ERROR = 60
OPTIMUM = "*"


def study_lines(study: OffloadStudy, *, ascii_only: bool = False, width: int | None = None) -> list[str]:
    """All of it, for a terminal of a `width` or a file."""
    return [
        *head_lines(study), "", *table_lines(study, width), "", *finding_lines(study), "",
        *profile_lines(study), *curve_lines(study, ascii_only=ascii_only),
    ]  # fmt: skip


def head_lines(study: OffloadStudy) -> list[str]:
    """What was studied."""
    subject, card = study.subject, study.card
    form = f", {subject.quantization}" if subject.quantization != "auto" else ""
    gpu = "without a GPU"
    if card.total:
        others = f", {format_bytes(card.others)} in use by others" if card.others else ""
        gpu = f"on {subject.gpu or 'a GPU'} with {format_bytes(card.total)}{others}"
    return [clean(f"{study.study}: {subject.model}{form} with {subject.engine} {gpu}")]


def table_lines(study: OffloadStudy, width: int | None = None) -> list[str]:
    """A row a point, its columns aligned; an error takes what is left of its row. Columns for which a terminal of this
    `width` has no room are left out, and named."""
    rows = [_HEAD, *(_cells(row, study.optimum) for row in study.rows)]
    shown = [index for index in range(len(_HEAD)) if index < 2 or any(row[index] for row in rows[1:])]
    widths = {index: max(len(row[index]) for row in rows) for index in shown}
    last = len(_HEAD) - 1
    left_out = []
    for index in (_HEAD.index(name) for name in _FIRST_LEFT_OUT):
        if width is None or sum(widths[one] + 2 for one in shown if one != last) <= width:
            break
        if index in shown:
            shown.remove(index)
            left_out.append(_HEAD[index])
    lines = [
        "  ".join(row[index] if index == last else f"{row[index]:>{widths[index]}}" for index in shown).rstrip()
        for row in rows
    ]
    return [*lines, f"(no room for {', '.join(left_out)})"] if left_out else lines


def _cells(row: Row, optimum: int | None) -> tuple[str, ...]:
    point = row.point
    mark = OPTIMUM if point.layers == optimum else ""
    if not point.measured:
        error = f"{point.failure}: {point.error}"
        return (mark, str(point.layers), *[""] * (len(_HEAD) - 3), _short(clean(error)))
    interval = "" if point.low is None or point.high is None else f"{_number(point.low)}-{_number(point.high)}"
    doubt = "over the ceiling" if row.within_ceiling is False else ""
    doubt = "; ".join(part for part in (doubt, f"INVALID: {point.doubts[0]}" if point.doubts else "") if part)
    return (
        mark,
        str(point.layers),
        _number(None if point.vram is None else point.vram / _GB),
        _percent(point.vram_share),
        _number(point.throughput),
        interval,
        _number(point.prefill),
        _number(None if point.seconds_per_token is None else point.seconds_per_token * 1e3),
        _percent(point.gpu_busy, 0),
        _degrees(point.temperature),
        _degrees(point.temperature_rise),
        _number(point.tokens_per_s_per_w),
        _number(point.joules_per_token),
        "" if row.times_cpu is None else f"{row.times_cpu:.2f}",
        "" if row.gain is None else f"{row.gain:+.0%}",
        _short(clean(doubt)),
    )


def finding_lines(study: OffloadStudy) -> list[str]:
    """Optimum, memory by the layer, diminishing returns, heat, what is to be known besides."""
    lines = [_optimum_line(study)]
    memory = study.layer_memory
    if memory.measured is not None:
        error = (
            f" (standard error {memory.error / _MIB:.2f}, {memory.points} points)" if memory.error is not None else ""
        )
        told = f"; by the engine's own buffers {memory.buffers / _MIB:.1f}" if memory.buffers else ""
        of_model = f"; weights / layers: {memory.of_model / _MIB:.1f}" if memory.of_model else ""
        lines.append(f"memory: {memory.measured / _MIB:.1f} MiB per layer{error}, measured{told}{of_model}")
    errors = [row.estimated / row.point.vram - 1 for row in study.rows if row.estimated is not None and row.point.vram]
    if errors:
        lines.append(f"memory estimate: {min(errors):+.1%} to {max(errors):+.1%} against what {len(errors)} runs held")
    some = study.diminishing
    if some is not None:
        lines.append(
            f"diminishing returns: from {some.layers} layers on ({some.low} to {some.high}) all further ones together"
            f" add less than {some.less_than:.0%}"
        )
    elif (
        len(
            within := [row.point.layers for row in study.rows if row.point.measured and row.within_ceiling is not False]
        )
        > 2
    ):
        lines.append(f"diminishing returns: none up to {max(within)} layers, the most measured{_under(study)}")
    heat = study.thermal
    if heat.highest is not None:
        rise = f", {heat.rise:.0f} C above rest" if heat.rise is not None else ""
        known = heat.per_layer is not None and heat.error is not None
        slope = f", {heat.per_layer:+.2f} C per layer (standard error {heat.error:.2f})" if known else ""
        lines.append(f"heat: up to {heat.highest:.0f} C{rise}{slope}")
    lines += _others_lines(study)
    lines.append(f"runs: {study.runs} of {study.exhaustive} that an exhaustive sweep would take")
    return [clean(line) for line in [*lines, *(f"note: {note}" for note in study.notes)]]


def _others_lines(study: OffloadStudy) -> list[str]:
    """That other programs took more of the GPU while runs were measured than when the study began."""
    card = study.card
    most = max((row.point.others for row in study.rows if row.point.others is not None), default=0)
    if not card.total or most - card.others < _NOTABLE * card.total:
        return []
    return [
        f"others: up to {format_bytes(most)} of the GPU were in use by other programs during runs, and "
        f"{format_bytes(card.others)} when the study began, which is what the ceiling counts"
    ]


def _optimum_line(study: OffloadStudy) -> str:
    best = next((row for row in study.rows if row.point.layers == study.optimum), None)
    if best is None:
        return f"optimum: none: no point was measured under {_ceiling(study)} of the memory"
    point = best.point
    speed = f"{format_number(point.throughput or 0.0)} tok/s"
    span = "" if best.times_low is None else f" ({best.times_low:.2f} to {best.times_high:.2f})"
    times = f", {best.times_cpu:.2f} times the CPU's{span}" if best.times_cpu is not None and point.layers else ""
    share = f", {point.vram_share:.0%} of the memory" if point.vram_share is not None else ""
    under = _under(study) if point.vram is not None else ""
    card = study.card
    left = card.total - card.others - point.vram if card.total and point.vram is not None else None
    room = f"; {format_bytes(left)} are left there for other programs" if left is not None and left > 0 else ""
    beside = ", ".join(map(str, study.beside))
    close = f"; not slower for sure: {beside} layers" if beside else ""
    if beside and point.low is None:
        close = "; it has no interval, so that nothing is sure of the others"
    doubt = f"; INVALID: {point.doubts[0]}" if point.doubts else ""
    return f"optimum: {point.layers} of {study.subject.layers} layers{under}: {speed}{times}{share}{room}{close}{doubt}"


def _under(study: OffloadStudy) -> str:
    return f" under the ceiling of {_ceiling(study)}" if study.card.total else ""


def profile_lines(study: OffloadStudy) -> list[str]:
    """The profiles by the share of the card, then by purpose; a band that has none says so."""
    return ["profiles:", *_profile_rows(study.profiles)]


def _profile_rows(profiles: Mapping[ProfileName, Profile]) -> list[str]:
    rows = []
    for name in (*reversed(LADDER), *(name for name in profiles if name not in LADDER)):
        found = profiles.get(name)
        if found is None:
            rows.append((label(name), "-", "no measured point within the ceiling takes that share of the memory"))
            continue
        speed = f"{format_number(found.throughput)} tok/s" if found.throughput is not None else NOT_AVAILABLE
        share = f", {found.vram_share:.0%} of the memory" if found.vram_share is not None else ""
        doubt = "; its run is INVALID" if found.doubt else ""
        rows.append((label(name), str(found.n_gpu_layers), f"{speed}{share}; {found.recommended_for}{doubt}"))
    first, second = (max(len(row[at]) for row in rows) for at in (0, 1))
    return [f"  {name:<{first}}  {layers:>{second}}  {clean(text)}" for name, layers, text in rows]


def kept_lines(kept: KeptProfiles) -> list[str]:
    """Kept profiles: of what, and a line each."""
    form = f", {kept.quantization}" if kept.quantization != "auto" else ""
    memory = f" with {format_bytes(kept.gpu_memory)}" if kept.gpu_memory else ""
    where = f"on {kept.gpu}{memory}" if kept.gpu else "without a GPU"
    with_ = f" with {kept.build}" if kept.build else ""
    head = f"{kept.model}{form} with {kept.engine} {where}, measured {kept.measured[:10]} by {kept.study}{with_}"
    return [clean(head), *_profile_rows(kept.profiles)]


def curve_lines(study: OffloadStudy, *, ascii_only: bool = False) -> list[str]:
    """Speed and memory over layers, where there are enough points."""
    marks = [float(study.optimum)] if study.optimum is not None else []
    crosses = [float(row.point.layers) for row in study.rows if row.point.failure]
    lines: list[str] = []
    for title, points in (
        ("tok/s", _over(study, lambda point: point.throughput)),
        ("VRAM GB", _over(study, lambda point: None if point.vram is None else point.vram / _GB)),
    ):
        drawn = curve(
            points, title=f"{title} over layers on the GPU", crosses=crosses, marks=marks, axis="layers",
            ascii_only=ascii_only,
        )  # fmt: skip
        lines += ["", *drawn] if drawn else []
    return lines


def progress_line(point: OffloadPoint, done: int, most: int, seconds: float | None, *, exactly: bool) -> str:
    """A run that has ended, on one line. `most` are the runs that the study takes, at most or `exactly`; `seconds` is
    what it took."""
    what = f"{point.layers} layers on the GPU"
    if point.measured:
        size = f", {format_bytes(point.vram)}" if point.vram is not None else ""
        share = f" ({point.vram_share:.0%})" if point.vram_share is not None else ""
        what += f": {format_number(point.throughput or 0.0)} tok/s{size}{share}"
    else:
        what += f": {point.failure}: {_short(point.error)}"
    left = most - done
    up_to = "" if exactly else "at most "
    rest = f"; {up_to}{left} more, about {format_seconds(left * seconds, 2)}" if left > 0 and seconds else ""
    return clean(f"{done} of {up_to}{most}: {what}{rest}")


def _over(study: OffloadStudy, read: Callable[[OffloadPoint], float | None]) -> list[tuple[float, float]]:
    points = [row.point for row in study.rows if row.point.measured]
    return [(float(point.layers), value) for point in points if (value := read(point)) is not None]


def _ceiling(study: OffloadStudy) -> str:
    return f"{100 * study.card.ceiling:.3g}%"


def _number(value: float | None) -> str:
    return "" if value is None else format_number(value)


def _percent(value: float | None, digits: int = 1) -> str:
    return "" if value is None else f"{value:.{digits}%}"


def _degrees(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}"


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_ERROR else text[: _LONGEST_ERROR - 1] + "…"
