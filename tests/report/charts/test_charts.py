"""Charts as they are drawn: files that can be read back, inert text, the same bytes for the same values."""

import io
import re
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import msgspec
import pytest
from matplotlib.collections import LineCollection
from PIL import Image
from support.reported import HOSTILE, gathered, made, stored

from infertui.report.charts import bars, curves, iterations, power, strips, tradeoff
from infertui.report.charts.build import MOST_ROWS, Data, charts, drawer
from infertui.report.charts.style import SERIES, VARIABLES, MissingMatplotlibError, render, require_matplotlib

BAR = bars.Bar("run-1", 1, HOSTILE, 10.0, low=9.0, high=11.0, part=2.0)
EXAMPLES: dict[str, Data] = {
    "bars": bars.Bars(
        "output tok/s", (bars.Panel(HOSTILE, (BAR, bars.Bar("run-2", 2, "b", 0.0, mark="invalid"))),),
        whole="a", part="b",
    ),
    "strips": strips.Strips(
        "TTFT",
        (
            strips.StripPanel(
                HOSTILE,
                (
                    strips.Strip("run-1", 1, HOSTILE, 1, (0.5,), 0.5),
                    strips.Strip("run-2", 2, "b", 900, (0.001, 2.0), 0.4, (0.1, 0.3, 0.4, 0.5, 1.0)),
                ),
            ),
        ),
    ),
    "courses": iterations.Courses(
        (iterations.Course("run-1", 1, HOSTILE, HOSTILE, (0.0, 1.0), (1.0, 1.5), 1.25, 2),)
    ),
    "traces": power.Traces(
        (
            power.Trace("run-1", 1, HOSTILE, (-1.0, 0.0, 1.0), (80.0, None, 500.0), (None,) * 3, "GPU", "w", 0.9),
            power.Trace("run-2", 2, "one sample", (0.0,), (80.0,), (1.0,), "CPU", "w"),
        )
    ),
    "curves": curves.Curves(
        tuple(
            curves.Curve(
                HOSTILE, HOSTILE,
                tuple(
                    curves.CurvePoint(f"run-{x}", x, 10.0 * x, low, 11.0 * x, None if x == 4 else x * 1e9)
                    for x, low in ((1, 9.0), (2, None), (4, 39.0))
                ),
                failed,
            )
            for failed in ((), (8.0,))
        )
    ),
    "tradeoff": tradeoff.Tradeoff(
        (
            tradeoff.TradeoffPanel(
                HOSTILE,
                tuple(
                    tradeoff.TradeoffLine(HOSTILE, (tradeoff.Point(f"run-{at}", at, 0.001 * at, 10.0 * at, None,
                     None, at),))
                    for at in range(1, 9)
                ),
            ),
        )
    ),
}  # fmt: skip


def texts_of(svg: str) -> str:
    return " ".join(text for element in ET.fromstring(svg).iter() for text in (element.text,) if text)  # noqa: S314


@pytest.mark.parametrize("name", EXAMPLES)
def test_any_label_is_drawn_as_plain_text(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn = render(name, f"hostile {HOSTILE}".replace("\x00", "").replace("\x1b", ""), drawer(EXAMPLES[name]))
    with Image.open(io.BytesIO(drawn.png)) as image:
        image.load()
        assert image.format == "PNG"
        assert image.width == 864
    for svg in (drawn.svg, drawn.inline):
        root = ET.fromstring(svg)  # noqa: S314
        tags = {element.tag.rpartition("}")[2] for element in root.iter()}
        assert tags <= {
            "svg",
            "g",
            "path",
            "defs",
            "style",
            "clipPath",
            "rect",
            "text",
            "tspan",
            "use",
            "pattern",
            "title",
        }
        shown = texts_of(svg)
        assert "$\\frac" in shown  # no formula was made of it
        assert "longlonglonglonglonglonglonglonglonglong" not in shown.split("hostile")[0].replace("…", "")
        for element in root.iter():
            for key, text in element.attrib.items():
                assert "http" not in text or key == "aria-label", (key, text)
                if key.endswith("href"):
                    assert text.startswith(f"#{name}-")
    assert "<!DOCTYPE" not in drawn.svg


@pytest.mark.parametrize("name", ["bars", "tradeoff"])
def test_the_same_values_give_the_same_bytes(name: str) -> None:
    one, other = (render(name, "alt", drawer(EXAMPLES[name])) for _ in range(2))
    assert one == other


def test_an_inline_chart_takes_its_colours_from_the_page_and_a_file_has_its_own() -> None:
    drawn = render("bars", "alt", drawer(EXAMPLES["bars"]))
    known = {variable for variable, _ in VARIABLES.values()}
    assert set(re.findall(r"var\(--([a-z0-9]+)\)", drawn.inline)) <= known
    assert not re.findall(r"#[0-9a-f]{6}\b", drawn.inline)
    assert SERIES[0] in drawn.svg
    assert "var(" not in drawn.svg


def luminance(colour: str) -> float:
    """WCAG 2: the relative luminance of #rrggbb."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    bright, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def test_colours_can_be_seen_by_light_and_by_dark() -> None:
    paper = {name: (light, dark) for light, (name, dark) in VARIABLES.items()}
    for light, (name, dark) in VARIABLES.items():
        least = {"ink": 7.0, "muted": 4.5}.get(name, 3.0 if re.fullmatch("s[0-9]", name) else 1.0)
        assert contrast(light, paper["paper"][0]) >= least, name
        assert contrast(dark, paper["paper"][1]) >= least, name


def test_bars_are_as_long_as_their_values_and_whiskers_end_at_the_interval() -> None:
    made = bars.draw(bars.Bars("x", (bars.Panel("p", (BAR,)),)))
    axes = made.axes[0]
    widths = {round(patch.get_width(), 6) for patch in axes.patches if hasattr(patch, "get_width")}
    assert widths == {10.0, 2.0}
    (whisker,) = [one for one in axes.collections if isinstance(one, LineCollection)]
    assert [float(x) for segment in whisker.get_segments() for x, _ in segment] == [9.0, 11.0]


def test_a_sweep_of_two_hundred_runs_stays_readable(tmp_path: Path) -> None:
    material = gathered(tmp_path, made(tmp_path, 200, folders=False))
    found = charts(material)
    throughput = next(chart for chart in found if chart.figure.name == "throughput")
    assert isinstance(throughput.data, bars.Bars)
    rows = [bar for panel in throughput.data.panels for bar in panel.bars]
    assert len(rows) <= MOST_ROWS
    assert "runs are shown" in throughput.figure.caption
    drawn = render("throughput", "alt", drawer(throughput.data))
    with Image.open(io.BytesIO(drawn.png)) as image:
        assert image.height < 4000
    assert set(throughput.figure.runs) == {bar.run for bar in rows}


def test_every_bar_is_its_runs_figure() -> None:
    results = stored(Path("reports/h200-engines"))
    found = {chart.figure.name: chart for chart in charts(gathered(Path("reports/h200-engines"), results))}
    by_id = {result.id: result for result in results}
    for name, figure in FIGURES.items():
        data = found[name].data
        assert isinstance(data, bars.Bars)
        for panel in data.panels:
            for bar in panel.bars:
                assert bar.value == pytest.approx(figure(by_id[bar.run])), (name, bar.run)


FIGURES: dict[str, Callable[..., float]] = {
    "throughput": lambda result: result.summary.output_throughput,
    "energy": lambda result: result.power.energy_j / result.summary.output_tokens,
}


def test_without_matplotlib_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingMatplotlibError) as caught:
        require_matplotlib()
    assert "pip install 'infertui[report]'" in str(caught.value)
    assert "--no-charts" in str(caught.value)


def test_chart_values_survive_json() -> None:
    for data in EXAMPLES.values():
        assert msgspec.json.decode(msgspec.json.encode(data), type=Data) == data
