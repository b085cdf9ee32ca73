"""`infertui capacity`: how much load a server takes while it keeps its objectives."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infertui.cli.flags import (
    REPORTS,
    AnswerLenFlag,
    ApiFlag,
    ApiKeyEnvFlag,
    LoadSeedFlag,
    OutFlag,
    PromptLenFlag,
    ServedModelFlag,
    SetFlag,
    Ui,
    UiFlag,
    refuse_with_queue,
)
from infertui.cli.load.load import PRESET
from infertui.env_file import with_env_file

if TYPE_CHECKING:
    from infertui.cli.load.capacity_output import CapacityForm
    from infertui.config.schema import Config

EPILOG = """[bold]Examples[/bold]

  infertui capacity http://127.0.0.1:8000 --slo "ttft.p95<500ms tpot.mean<30ms"

  infertui capacity http://127.0.0.1:8000 --slo "e2e.p90<5s" --by rate --isl 1024 --osl 256

  infertui capacity http://127.0.0.1:8000 --slo "ttft:200 tpot:20" --attainment 0.9 --max 64

  infertui capacity http://127.0.0.1:8000 --slo "ttft.p95<500ms" --queue      (in the background, after what waits)

  infertui capacity --continue capacity-20260301-101500-3f9a      (goes on where it ended)

  infertui capacity --show capacity-20260301-101500-3f9a --markdown

Levels double until an objective is not kept, then the boundary is closed in on. The load is changed while it runs; at
each level it is waited until latencies have settled, and time is spent where the interval straddles a limit. Ctrl-C
keeps what was measured. A term without a statistic (ttft<200ms) has to be kept by --attainment of the requests; at most
1 % may fail. Exit code 3: something speaks against the figures, as where the client itself was measured.
"""


def capacity(
    url: Annotated[
        str | None,
        typer.Argument(metavar="[URL|FILE]", help="The server, as in http://127.0.0.1:8000; or a capacity.toml."),
    ] = None,
    slo: Annotated[
        str | None,
        typer.Option("--slo", "--goodput", metavar="TERMS", help='As in "ttft.p99<200ms tpot.mean<20ms".'),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option("--by", metavar="WHAT", help="concurrency: requests in flight; rate: requests a second."),
    ] = None,
    start: Annotated[float | None, typer.Option("--start", metavar="N", help="First level: the least.")] = None,
    least: Annotated[float | None, typer.Option("--min", metavar="N", help="Least level: 1.")] = None,
    most: Annotated[float | None, typer.Option("--max", metavar="N", help="Most: 4096.")] = None,
    tolerance: Annotated[
        float | None, typer.Option("--tolerance", metavar="SHARE", help="How near the boundary has to be known: 0.05.")
    ] = None,
    attainment: Annotated[
        float | None,
        typer.Option("--attainment", metavar="SHARE", help="Of requests that keep terms without a statistic: 0.95."),
    ] = None,
    stay: Annotated[
        float | None, typer.Option("--stay", metavar="S", help="Seconds at a level, settled: 10; of a rate 30.")
    ] = None,
    max_seconds: Annotated[
        float | None, typer.Option("--max-seconds", metavar="S", help="For the whole search: 1800.")
    ] = None,
    most_stays: Annotated[
        int | None, typer.Option("--max-stays", metavar="N", help="For the whole search: 40.")
    ] = None,
    model: ServedModelFlag = None,
    api: ApiFlag = None,
    input_len: PromptLenFlag = None,
    output_len: AnswerLenFlag = None,
    api_key_env: ApiKeyEnvFlag = None,
    seed: LoadSeedFlag = None,
    sets: SetFlag = None,
    resume: Annotated[
        str,
        typer.Option("--continue", metavar="ID", help="Go on with a search that ended early, or with more time."),
    ] = "",
    shown: Annotated[str, typer.Option("--show", metavar="ID", help="What an earlier search found.")] = "",
    out: OutFlag = REPORTS,
    queue: Annotated[bool, typer.Option("--queue", help="Hand it to the runner in the background.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found as one JSON document.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print what was found as Markdown.")] = False,
    ascii_only: Annotated[bool, typer.Option("--ascii", help="Draw curves with ASCII characters alone.")] = False,
    ui: UiFlag = "auto",
) -> None:
    """Find the most load that a server takes while it keeps its objectives."""
    from infertui.cli.load.capacity_output import CapacityForm
    from infertui.errors import UsageError

    form = CapacityForm(as_json=as_json, markdown=markdown, ascii_only=ascii_only)
    flags: dict[str, tuple[str, object]] = {
        "target.model": ("--model", model),
        "target.api": ("--api", api),
        "target.api_key_env": ("--api-key-env", api_key_env),
        "load.slo": ("--slo", slo),
        "workload.input_len": ("--isl", input_len),
        "workload.output_len": ("--osl", output_len),
        "workload.seed": ("--seed", seed),
        "capacity.by": ("--by", by),
        "capacity.start": ("--start", start),
        "capacity.least": ("--min", least),
        "capacity.most": ("--max", most),
        "capacity.tolerance": ("--tolerance", tolerance),
        "capacity.attainment": ("--attainment", attainment),
        "capacity.stay_s": ("--stay", stay),
    }
    budget: dict[str, tuple[str, object]] = {
        "capacity.max_seconds": ("--max-seconds", max_seconds),
        "capacity.max_stays": ("--max-stays", most_stays),
    }
    changed = bool(url or sets) or any(value is not None for _, value in flags.values())
    if shown:
        if changed or resume or queue or any(value is not None for _, value in budget.values()):
            raise UsageError("--show tells of a search as it was: leave the rest out")
        form.show(out, shown)
        return
    if resume:
        if changed:
            raise UsageError(
                "--continue goes on with a search as it was: of it no more than --max-seconds and --max-stays can grow"
            )
        config, out = _continued(out, resume, {key: value for key, (_, value) in budget.items()})
    elif url:
        config = _config(url, flags | budget, sets or [])
    else:
        raise UsageError("which server?", remedy='infertui capacity URL --slo "ttft.p99<200ms", or --continue ID.')
    if queue:
        from infertui.cli.running.enqueue import enqueue
        from infertui.config.sweep import variants_of

        refuse_with_queue({"--ui": ui != "auto", "--markdown": markdown})
        enqueue(variants_of(config, ""), title="capacity", out=out, as_json=as_json)
        return
    raise typer.Exit(_search(config, out, ui, form))


def _config(url: str, flags: "dict[str, tuple[str, object]]", sets: list[str]) -> "Config":
    """What is asked at each level; the level is the search's."""
    from infertui.config.sources import load

    is_file = url.endswith(".toml")
    given = {**flags, "target.kind": ("infertui capacity", "endpoint")}
    if not is_file:
        given |= {"target.url": ("URL", url), "workload.num_prompts": ("infertui capacity", 0)}
    environ, what = with_env_file(), url if is_file else PRESET
    config = load(what, environ=environ, sets=sets, flags=given).config
    if config.capacity.by == "none":
        given["capacity.by"] = ("infertui capacity", "concurrency")
        config = load(what, environ=environ, sets=sets, flags=given).config
    return config


def _continued(out: Path, search: str, budget: "dict[str, object]") -> "tuple[Config, Path]":
    """The config that goes on with a search, and the reports folder of that. Raises UsageError."""
    from msgspec.structs import replace

    from infertui.analysis.capacity.plan import continued
    from infertui.config.fields import parse_text
    from infertui.config.parse import build, flat_values
    from infertui.runner.capacity.folder import CapacityFolder

    folder = CapacityFolder.open(out, search)
    plan, config = folder.record.plan, folder.config
    asked = replace(config.capacity, by=plan.kind, max_seconds=plan.most_seconds, max_stays=plan.most_stays)
    config = continued(replace(config, capacity=asked), folder.path.name)
    more = {key: parse_text(key, str(value)) for key, value in budget.items() if value is not None}
    return build({**flat_values(config), **more}), folder.path.parent


def _search(config: "Config", out: Path, ui: Ui, form: "CapacityForm") -> int:
    """Search, print what was found, and return the exit code."""
    from infertui.cli.load.capacity_host import search_in_foreground
    from infertui.cli.reading.lookup import opened
    from infertui.config.sweep import variants_of

    opened(out)
    return search_in_foreground(variants_of(config, ""), out, ui, form)
