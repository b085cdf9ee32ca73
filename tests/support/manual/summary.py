"""The end of a kept run, as the command line shows it, shortened to lines that say most."""

from support.kept import REPORTS

from infertui.cli.running.plain import summary_lines
from infertui.results.runs import Store

_SHOWN = ("output throughput", "TTFT", "TPOT", "E2E latency", "efficiency", "roofline", "note:", "kept as")


def summary(folder: str, name: str) -> str:
    """Of the run of that name in a folder of `reports/`."""
    result = next(each for each in Store(REPORTS / folder).results(warn=lambda _: None) if each.name == name)
    lines = [line for line in summary_lines(result, kept=True) if line.strip().startswith(_SHOWN)]
    return "```\n{}\n```".format("\n".join(lines))
