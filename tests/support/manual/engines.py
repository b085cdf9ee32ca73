"""The engines in a table that fits a README; `infertui engines --markdown` prints all of their options."""

from support.manual.markdown import code, codes, table

from infertui.config.engines.registry import BUILT_IN


def engine_table() -> str:
    """What each engine of infertui's own is, where it runs, and what can be chosen."""
    rows = [(code(spec.name), spec.summary, ", ".join(spec.devices), codes(spec.common)) for spec in BUILT_IN]
    return table(("engine", "is", "on", "common options"), rows)
