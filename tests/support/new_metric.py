"""What views show of a folder's results with the metric of CONTRIBUTING.md in the registry, as JSON.

The registry is complete before tables are made of it: this runs in a process of its own.
"""

import csv
import io
import json
import re
import sys
from pathlib import Path
from typing import Any

from infertui.metrics import definitions
from infertui.metrics.metric import Metric
from infertui.metrics.registry import register

CONTRIBUTING = Path(__file__).parents[2] / "CONTRIBUTING.md"


def example() -> Metric:
    """The entry of the guide, as it would stand among the others."""
    (source,) = re.findall(r"```python\n# in METRICS\n(.*?)```", CONTRIBUTING.read_text("utf-8"), re.DOTALL)
    found = eval(source, dict(vars(definitions)))  # noqa: S307 (the page's own example)
    assert isinstance(found, Metric)
    return found


def views(out: Path, key: str, heading: str, bound: str) -> dict[str, Any]:
    """By view: of the first result what stands under the metric, and which runs a filter and an order give."""
    import msgspec
    from support.reported import gathered
    from typer.testing import CliRunner

    from infertui.analysis.compare import compare
    from infertui.cli.main import app
    from infertui.report.document import ReportTable
    from infertui.report.run_details import listing
    from infertui.results.index import ResultIndex
    from infertui.results.runs import Store
    from infertui.results.table import ResultQuery
    from infertui.tui.results.columns import COLUMNS, copied, copied_header

    def told(*arguments: str) -> list[str]:
        done = CliRunner().invoke(app, ["results", "--out", str(out), *arguments])
        assert done.exit_code == 0, done.output
        return done.stdout.splitlines()

    results = list(Store(out).each_result(warn=sys.exit))
    text = told()
    at = text[0].index(heading)
    markdown = told("--markdown", "--columns", f"run,{key}")
    lines = list(csv.DictReader(io.StringIO("\n".join(told("--csv")))))
    table = next(block for block in listing(gathered(out, results)).blocks if isinstance(block, ReportTable))
    columns = [column.name for column in table.columns]
    figures = compare(results[0], results[1], ((), ())).figures
    index = ResultIndex(out)

    def ids(query: ResultQuery) -> list[str]:
        return [row.id for row in index.page(query).rows]

    sort: Any = key
    rows = {row.id: row for row in index.page(ResultQuery(str(out))).rows}
    first, last = rows[results[0].id], rows[results[2].id]
    return {
        "shown": {
            "text": text[1][: at + len(heading)].split()[-1],
            "markdown": markdown[2][2:-2].split(" | ")[1],
            "csv": lines[0][key],
            "screen": COLUMNS[key].cell(first, COLUMNS[key].wide).strip(),
            "report": table.rows[0][columns.index(heading)].text,
            "row": json.loads(msgspec.json.encode(first))[key],
        },
        "headings": [markdown[0][2:-2].split(" | ")[1], COLUMNS[key].heading],
        "copied": dict(zip(copied_header([key]), copied(first, [key]), strict=True))[heading],
        "absent": [
            lines[2][key],
            markdown[4][2:-2].split(" | ")[1],
            json.loads(msgspec.json.encode(last))[key],
        ],
        "listed": [line.split()[0] for line in told(bound)[1:]],
        "filtered": ids(ResultQuery(str(out), filter=bound)),
        "sorted": ids(ResultQuery(str(out), sort=sort)),
        "compared": [[one.name, one.first, one.second, one.better] for one in figures if one.key == "tokens-per-joule"],
    }


if __name__ == "__main__":
    metric = example()
    register(metric)
    json.dump(views(Path(sys.argv[1]), metric.key, metric.label, sys.argv[2]), sys.stdout)
