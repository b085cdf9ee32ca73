"""`infertui exporter`: GPUs and runs for Prometheus."""

from pathlib import Path
from typing import Annotated

import typer

from infertui.cli.output import say

EPILOG = """[bold]Examples[/bold]

  infertui exporter      (http://127.0.0.1:9401/metrics)

  infertui exporter --listen 0.0.0.0:9401 --token-file scrape.token --tls-cert box.pem

  infertui exporter --dashboards DIR      (fleet, one run, load against objectives: for Grafana)

GPUs have the names of NVIDIA's DCGM exporter, so dashboards for it work. What Prometheus has to be told, and what each
name means, is in docs/observability.md.
"""


def exporter(
    port: Annotated[
        int, typer.Option("--port", metavar="N", min=0, max=65535, help="Of the loopback; 0: one that is free.")
    ] = 9401,
    listen: Annotated[
        str | None,
        typer.Option("--listen", metavar="HOST:PORT", help="Another place; beyond the loopback it needs a token."),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option("--token-file", metavar="FILE", help="The token to ask for, in a file of mode 600."),
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option("--tls-cert", metavar="FILE", help="Use TLS with this certificate.")
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option("--tls-key", metavar="FILE", help="The key of the certificate; else in its file.")
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="With a token: without TLS even where other machines hear it.")
    ] = False,
    path: Annotated[
        Path | None, typer.Option("--socket", metavar="PATH", help="The runner there, instead of the usual place.")
    ] = None,
    dashboards: Annotated[
        Path | None,
        typer.Option("--dashboards", metavar="DIR", help="Write the dashboards for Grafana there, and stop."),
    ] = None,
) -> None:
    """Tell Prometheus of GPUs, queue, runs and loads, at /metrics.

    A runner that is running is asked, and none is started; where there is none, the GPUs are read here. Ctrl-C ends it.
    """
    if dashboards is not None:
        _write_dashboards(dashboards)
        return
    from infertui.api.exporter.access import access_of
    from infertui.api.exporter.server import run

    place = listen if listen is not None else f":{port}"
    access = access_of(place, token_file, tls_cert, tls_key, insecure=insecure)
    run(access, path, lambda url: say(f"infertui exporter: {url}"))


def _write_dashboards(folder: Path) -> None:
    import json

    from infertui.api.exporter.dashboards import DASHBOARDS, document
    from infertui.errors import UsageError
    from infertui.text import clean

    try:
        folder.mkdir(parents=True, exist_ok=True)
        for plan in DASHBOARDS:
            path = folder / f"{plan.name}.json"
            path.write_text(json.dumps(document(plan), indent=1) + "\n", encoding="utf-8")
            say(clean(str(path)))
    except OSError as error:
        raise UsageError(f"--dashboards {clean(str(folder))}: {error.strerror or error}") from None
