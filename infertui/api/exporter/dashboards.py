"""Dashboards for Grafana, made of the families that are told: their JSON, in the form of its schema 39. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from infertui.api.exporter import gpus, runs
from infertui.api.exporter.figures import COST, family_of
from infertui.metrics.registry import metric_of

_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_WIDTH, _HEIGHT = 8, 7
_COLUMNS = 24 // _WIDTH
_SCHEMA = 39


class Query(Struct, frozen=True):
    """One query of a panel; `legend` names its series by their labels."""

    expression: str
    legend: str = ""


class DashboardPanel(Struct, frozen=True):
    """One chart. `unit` is a word of Grafana's."""

    title: str
    unit: str
    queries: tuple[Query, ...]
    help: str = ""


class DashboardPlan(Struct, frozen=True):
    """What a dashboard shows. `variables` are, by name, the labels' values that it offers, as Grafana asks for them."""

    name: str
    title: str
    variables: Mapping[str, str]
    panels: tuple[DashboardPanel, ...]


def _of(family: Any, selector: str = "") -> str:
    return f"{family.name}{{{selector}}}" if selector else str(family.name)


def _result(key: str) -> str:
    return _of(family_of(metric_of(key)), _RUN)


_HOST = 'Hostname=~"$host"'
_RUN = 'run=~"$run"'
_GPU = "GPU {{gpu}} {{GPU_I_ID}}"


def _gpu(title: str, unit: str, family: Any) -> DashboardPanel:
    return DashboardPanel(title, unit, (Query(_of(family, _HOST), _GPU),), family.help)


def _run(title: str, unit: str, *families: Any, legend: str = "{{run}}") -> DashboardPanel:
    queries = tuple(Query(_of(family, _RUN), legend) for family in families)
    return DashboardPanel(title, unit, queries, families[0].help)


def _against(title: str, family: Any, latency: str) -> DashboardPanel:
    """A latency of a load, and its objectives."""
    limits = Query(_of(runs.LIMIT, f'{_RUN}, latency="{latency}"'), "objective {{statistic}}")
    return DashboardPanel(title, "s", (Query(_of(family, _RUN), "{{statistic}}"), limits), family.help)


FLEET = DashboardPlan(
    "fleet",
    "infertui: fleet",
    {"host": f"label_values({runs.INFO.name}, Hostname)"},
    (
        _gpu("GPU utilization", "percent", gpus.UTILIZATION),
        _gpu("GPU memory used", "mbytes", gpus.USED),
        _gpu("Power", "watt", gpus.POWER),
        DashboardPanel(
            "Energy of an hour",
            "watth",
            (Query(f"sum by (Hostname) (avg_over_time({_of(gpus.POWER, _HOST)}[1h]))", "{{Hostname}}"),),
            "Mean power of the last hour, which is the energy of an hour in watt hours.",
        ),
        _gpu("Temperature", "celsius", gpus.TEMPERATURE),
        _gpu("SM clock", "rotmhz", gpus.SM_CLOCK),
        DashboardPanel(
            "What holds clocks back",
            "short",
            (Query(f"sum by (reason) ({_of(gpus.THROTTLED, _HOST)})", "{{reason}}"),),
            "GPUs of which it holds the clocks back.",
        ),
        DashboardPanel("Queue", "short", (Query(_of(runs.QUEUE), "{{state}}"),), runs.QUEUE.help),
        DashboardPanel("Host CPU", "percentunit", (Query(_of(gpus.CPU, _HOST), "{{Hostname}}"),), gpus.CPU.help),
    ),
)
RUN = DashboardPlan(
    "run",
    "infertui: one run",
    {"run": f"label_values({runs.RUN_INFO.name}, run)"},
    (
        _run("Output tokens a second", "short", runs.RATE),
        _run("Done", "percentunit", runs.PROGRESS),
        _run("Phase", "short", runs.PHASE, legend="{{phase}}"),
        _run("Time to first token", "s", runs.RUN_TTFT),
        DashboardPanel("Power of the GPUs", "watt", (Query(_of(gpus.POWER), "{{Hostname}} " + _GPU),), gpus.POWER.help),
        DashboardPanel(
            "Throughput, once it has ended", "short", (Query(_result("throughput"), "{{run}}"),),
            metric_of("throughput").help,
        ),
        DashboardPanel(
            "TTFT and TPOT, median, once it has ended", "s",
            (Query(_result("ttft"), "TTFT {{run}}"), Query(_result("tpot"), "TPOT {{run}}")),
        ),
        DashboardPanel(
            "Energy per output token", "joule", (Query(_result("joules_per_token"), "{{run}}"),),
            metric_of("joules_per_token").help,
        ),
        DashboardPanel("Cost of a million tokens", "short", (Query(_of(COST, _RUN), "{{currency}}"),), COST.help),
    ),
)  # fmt: skip
LOAD = DashboardPlan(
    "load",
    "infertui: load against objectives",
    {"run": f"label_values({runs.LEVEL.name}, run)"},
    (
        _against("TTFT against its objectives", runs.TTFT, "ttft"),
        _against("ITL against its objectives", runs.ITL, "itl"),
        _run("Level that is asked for", "short", runs.LEVEL, legend="{{by}}"),
        _run("Requests in flight", "short", runs.IN_FLIGHT),
        DashboardPanel(
            "Requests", "reqps",
            (
                Query(_of(runs.REQUEST_RATE, _RUN), "answered"),
                Query(f"rate({_of(runs.FAILED, _RUN)}[$__rate_interval])", "failed"),
            ),
            runs.REQUEST_RATE.help,
        ),
        _run("Output tokens a second", "short", runs.TOKEN_RATE),
        _run("Client: how late its loop is", "s", runs.CLIENT_LAG),
        _run("Client: how late requests are", "s", runs.CLIENT_LATE),
        _run("Client: share of a core", "percentunit", runs.CLIENT_CPU),
    ),
)  # fmt: skip
DASHBOARDS = (FLEET, RUN, LOAD)


def document(plan: DashboardPlan) -> dict[str, Any]:
    """The dashboard as Grafana imports it."""
    return {
        "uid": f"infertui-{plan.name}",
        "title": plan.title,
        "tags": ["infertui"],
        "schemaVersion": _SCHEMA,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "5s",
        "time": {"from": "now-30m", "to": "now"},
        "annotations": {"list": [_annotation("begin", runs.BEGAN.name), _annotation("end", runs.ENDED.name)]},
        "templating": {"list": [_datasource(), *(_variable(*one) for one in plan.variables.items())]},
        "panels": [_panel(number, panel) for number, panel in enumerate(plan.panels)],
    }


def annotation_queries() -> Sequence[str]:
    """What annotations ask: when runs began and ended, in milliseconds since 1970."""
    return [f"{family.name} * 1000" for family in (runs.BEGAN, runs.ENDED)]


def _annotation(what: str, name: str) -> dict[str, Any]:
    return {
        "name": f"Runs {what}",
        "datasource": _SOURCE,
        "enable": True,
        "iconColor": "green" if what == "begin" else "orange",
        "expr": f"{name} * 1000",
        "useValueForTime": "on",
        "titleFormat": f"{{{{run}}}} {what}s",
        "step": "30s",
    }


def _datasource() -> dict[str, Any]:
    return {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}


def _variable(name: str, query: str) -> dict[str, Any]:
    return {
        "name": name,
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": query, "refId": name},
        "definition": query,
        "refresh": 2,
        "sort": 2,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": ["All"], "value": ["$__all"]},
    }


def _panel(number: int, panel: DashboardPanel) -> dict[str, Any]:
    column, line = number % _COLUMNS, number // _COLUMNS
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.help,
        "datasource": _SOURCE,
        "gridPos": {"x": column * _WIDTH, "y": line * _HEIGHT, "w": _WIDTH, "h": _HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
                    "tooltip": {"mode": "multi", "sort": "desc"}},
        "targets": [
            {"refId": chr(ord("A") + at), "datasource": _SOURCE, "expr": query.expression, "legendFormat": query.legend}
            for at, query in enumerate(panel.queries)
        ],
    }  # fmt: skip
