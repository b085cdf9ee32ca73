"""What is said about a config before it runs: whether it fits, how long it takes, how many runs it makes."""

from collections.abc import Sequence

from infertui.config.sweep import Variant
from infertui.runner.control import Forecast
from infertui.tui.config.form import Form
from infertui.tui.config.knowledge import Standing
from infertui.units import format_bytes, format_seconds


def in_one_line(forecast: Forecast, runs: int = 1) -> tuple[str, Standing]:
    """`needs 3.1 GiB of 78.2 GiB free: fits; about 40 s`, and how it stands."""
    words = {True: "fits", False: "does not fit", None: "not known whether it fits"}[forecast.fits]
    if forecast.needed is None:
        memory = forecast.lines[-1] if forecast.lines else "no memory estimate"
        memory = f"does not fit: {memory}" if forecast.fits is False else memory
    elif forecast.free is None:
        memory = f"needs {format_bytes(forecast.needed)}: {words}"
    else:
        words = "may not fit" if forecast.fits is None else words
        memory = f"needs {format_bytes(forecast.needed)} of {format_bytes(forecast.free)} free: {words}"
    time = ""
    if forecast.seconds is not None:
        time = f"; about {format_seconds(forecast.seconds)}{' each' if runs > 1 else ''}"
    standing: Standing = "warning" if forecast.fits is False else "ok" if forecast.fits else "muted"
    return memory + time, standing


def heaviest(variants: Sequence[Variant]) -> Variant | None:
    """The variant to ask about on behalf of a sweep: the one with the most tokens at once, the likeliest not to fit."""
    return max(variants, key=_tokens_at_once, default=None)


def _tokens_at_once(variant: Variant) -> int:
    workload = variant.config.workload
    return workload.batch_size * (workload.input_len + workload.output_len)


def sweep_line(form: Form) -> str:
    """`12 runs (grid): bs=1 isl=128, bs=1 isl=256, ...`; empty without axes."""
    if not form.axes():
        return ""
    count, how = form.run_count(), form.arrangement
    if not count:
        return f"sweep ({how}): cannot run"
    how = "grid and zip" if how == "mixed" else how
    names = ", ".join(variant.name for variant in (form.variants() or [])[:12])
    return f"{count:,} run{'' if count == 1 else 's'} ({how})" + (f": {names}" if names else "")


def renamed(name: str, form: Form) -> str:
    """What the run of an edited entry is called: `bs=4 isl=128`, the words of changed keys brought up to date."""
    from infertui.config.sweep import short_name

    words = name.split(" ") if name else []
    for key in form.all_keys():
        if not form.changed(key):
            continue
        start = f"{short_name(key)}="
        word = start + form.text(key).replace(" ", "_")
        places = [index for index, old in enumerate(words) if old.startswith(start)]
        words[slice(places[0], places[0] + 1) if places else slice(len(words), len(words))] = [word]
    return " ".join(words)
