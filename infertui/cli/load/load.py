"""`infertui load`: measure a server behind a URL."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infertui.cli.flags import (
    REPORTS,
    AnswerLenFlag,
    ApiFlag,
    ApiKeyEnvFlag,
    LabelFlag,
    LoadSeedFlag,
    OutFlag,
    PromptLenFlag,
    ReportFlag,
    ServedModelFlag,
    SetFlag,
    Ui,
    UiFlag,
    pairs,
    refuse_with_queue,
    swept,
)
from infertui.env_file import with_env_file

if TYPE_CHECKING:
    from infertui.config.schema import Config
    from infertui.config.sources import Resolved
    from infertui.config.sweep import Variant
    from infertui.results.result import Result

EPILOG = """[bold]Examples[/bold]

  infertui load http://127.0.0.1:8000

  infertui load http://127.0.0.1:8000 --concurrency 1,4,16,64 --isl 512 --osl 128

  infertui load http://127.0.0.1:8000 --request-rate 4 --max-seconds 120 --slo "ttft.p99<200ms tpot.mean<20ms"

  infertui load https://host/v1 --model NAME --api-key-env MY_KEY

  infertui load unix:/run/server.sock --api llama-server

  infertui load --serve vllm Qwen/Qwen3-0.6B --concurrency 1,16,64 --serve-args "--max-num-seqs 64"

  infertui load http://127.0.0.1:8000 --trace mooncake.jsonl --queue

  infertui load reports/RUN_ID/run.toml      (repeats that run)

A process of its own sends and stamps the requests, and is measured too: where it was too slow, the run is invalid.
[bold]infertui mock-server[/bold] is a server with known times to try it on; [bold]infertui config keys load[/bold] has
every key of a load.
"""
PRESET = "load"
_SWEPT = frozenset(
    {
        "load.concurrency", "load.request_rate", "workload.input_len", "workload.output_len", "load.shared_prefix",
        "load.turns",
    }
)  # fmt: skip


def load(
    target: Annotated[
        str,
        typer.Argument(
            metavar="URL|FILE|MODEL",
            help="As in http://127.0.0.1:8000; a TOML file; a model to --serve.",
        ),
    ],
    model: ServedModelFlag = None,
    serve: Annotated[
        str | None,
        typer.Option("--serve", metavar="NAME", help="Start vllm, llama-server, sglang, trtllm or transformers."),
    ] = None,
    serve_args: Annotated[
        str | None, typer.Option("--serve-args", metavar="ARGS", help="Further arguments of it, as in a shell.")
    ] = None,
    api: ApiFlag = None,
    concurrency: Annotated[
        str | None,
        typer.Option("--concurrency", "-c", metavar="N", help="Requests in flight, each followed by the next: 1."),
    ] = None,
    request_rate: Annotated[
        str | None,
        typer.Option("--request-rate", "--rate", metavar="N", help="Requests a second, whatever is answered by then."),
    ] = None,
    arrival: Annotated[
        str | None, typer.Option("--arrival", metavar="NAME", help="Of a rate: poisson, constant or gamma.")
    ] = None,
    burstiness: Annotated[
        str | None,
        typer.Option("--burstiness", metavar="SHAPE", help="Gamma arrivals: below 1 bursts."),
    ] = None,
    num_prompts: Annotated[
        str | None, typer.Option("--num-prompts", "--num-requests", metavar="N", help="Requests in all.")
    ] = None,
    max_seconds: Annotated[
        str | None, typer.Option("--max-seconds", "--duration", metavar="S", help="Send for so long: 30.")
    ] = None,
    input_len: PromptLenFlag = None,
    output_len: AnswerLenFlag = None,
    prompts_file: Annotated[
        str | None, typer.Option("--prompts-file", metavar="FILE", help="Prompts as they are, in place of random ones.")
    ] = None,
    trace: Annotated[
        str | None, typer.Option("--trace", metavar="FILE", help="Arrivals and lengths: Mooncake, Azure CSV, JSONL.")
    ] = None,
    shared_prefix: Annotated[
        str | None, typer.Option("--shared-prefix", metavar="SHARE", help="Of each prompt, 0 to 1, common to all.")
    ] = None,
    turns: Annotated[str | None, typer.Option("--turns", metavar="N", help="Turns of a conversation: 1.")] = None,
    ramp: Annotated[str | None, typer.Option("--ramp", metavar="S", help="Seconds to grow to the level.")] = None,
    steps: Annotated[
        str | None, typer.Option("--steps", metavar="LEVEL:S,...", help="Levels one after the other.")
    ] = None,
    slo: Annotated[
        str | None,
        typer.Option("--slo", "--goodput", metavar="TERMS", help='Objectives, as in "ttft.p99<200ms tpot.mean<20ms".'),
    ] = None,
    no_stream: Annotated[bool, typer.Option("--no-stream", help="Ask for whole answers: there is no TTFT.")] = False,
    tokenizer: Annotated[
        str | None, typer.Option("--tokenizer", metavar="DIR", help="Counts tokens here too, beside the server.")
    ] = None,
    api_key_env: ApiKeyEnvFlag = None,
    api_key_file: Annotated[
        str | None, typer.Option("--api-key-file", metavar="FILE", help="File with the API key instead.")
    ] = None,
    header: Annotated[
        list[str] | None, typer.Option("--header", "-H", metavar="NAME:VALUE", help="A further header; repeatable.")
    ] = None,
    body: Annotated[
        str | None, typer.Option("--body", metavar="JSON", help="Further fields of each request, a JSON object.")
    ] = None,
    seed: LoadSeedFlag = None,
    label: LabelFlag = None,
    sets: SetFlag = None,
    sweep: Annotated[
        list[str] | None, typer.Option("--sweep", metavar="KEY=VALUES", help="An axis; repeatable.")
    ] = None,
    out: OutFlag = REPORTS,
    report: ReportFlag = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print results as JSON, a line each.")] = False,
    ui: UiFlag = "auto",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would run, how long, and what would fail; send nothing.")
    ] = False,
    queue: Annotated[bool, typer.Option("--queue", help="Hand it to the runner in the background.")] = False,
) -> None:
    """Measure a server behind a URL under load: TTFT, ITL, throughput, goodput."""
    from infertui.config.fields import FIELDS

    given: dict[str, tuple[str, object]] = {
        "target.model": ("--model", model),
        "target.serve": ("--serve", serve),
        "target.serve_args": ("--serve-args", serve_args),
        "target.api": ("--api", api),
        "target.streaming": ("--no-stream", False if no_stream else None),
        "target.tokenizer": ("--tokenizer", tokenizer),
        "target.api_key_env": ("--api-key-env", api_key_env),
        "target.api_key_file": ("--api-key-file", api_key_file),
        "target.headers": ("--header", _headers(header or [])),
        "target.body": ("--body", body),
        "load.concurrency": ("--concurrency", concurrency),
        "load.request_rate": ("--request-rate", request_rate),
        "load.arrival": ("--arrival", arrival or ("gamma" if burstiness is not None else None)),
        "load.burstiness": ("--burstiness", burstiness),
        "load.trace": ("--trace", trace),
        "load.shared_prefix": ("--shared-prefix", shared_prefix),
        "load.turns": ("--turns", turns),
        "load.ramp_s": ("--ramp", ramp),
        "load.steps": ("--steps", steps),
        "load.slo": ("--slo", slo),
        "workload.num_prompts": ("--num-prompts", num_prompts),
        "workload.input_len": ("--isl", input_len),
        "workload.output_len": ("--osl", output_len),
        "workload.prompts_file": ("--prompts-file", prompts_file),
        "workload.seed": ("--seed", seed),
        "measurement.max_seconds": ("--max-seconds", max_seconds),
    }
    if prompts_file is not None and input_len is None:
        given["workload.input_len"] = ("--prompts-file", 0)  # as they are
    if trace is not None and not target.endswith(".toml"):
        # What the preset says of prompts; what a person says of them beside a trace is refused.
        given["workload.prompts"] = ("--trace", FIELDS["workload.prompts"].default)
        given["workload.input_len"] = ("--isl", input_len) if input_len is not None else ("--trace", 0)
    flags = {swept(key, value, _SWEPT): (flag, value) for key, (flag, value) in given.items()}
    for flag, prefix, texts in (("--label", "labels", label), ("--sweep", "sweep.grid", sweep)):
        flags |= {f"{prefix}.{key}": (flag, value) for key, value in pairs(flag, texts or [])}
    resolved = _resolved(target, flags, sets or [])
    config = resolved.config
    if dry_run:
        from infertui.cli.running.dry_run import dry_run as foresee

        raise typer.Exit(foresee(resolved, _variants(config), out, as_json=as_json))
    if queue:
        _queue(config, target, out, as_json=as_json, ui=ui, report=report)
    else:
        raise typer.Exit(_measure(config, out, as_json=as_json, ui=ui, report=report))


def _resolved(target: str, flags: dict[str, tuple[str, object]], sets: list[str]) -> "Resolved":
    """What the command line asks for: a file with what flags change, or the preset with the URL."""
    from infertui.config import sources

    is_file = target.endswith(".toml")
    serve = flags["target.serve"][1]
    if not is_file:
        flags["target.url" if serve is None else "model.id"] = ("URL" if serve is None else "MODEL", target)
    if isinstance(serve, str) and not any(text.startswith("engine.name=") for text in sets):
        flags["engine.name"] = ("--serve", _engine_of(serve))
    flags["target.kind"] = ("infertui load", "endpoint")
    return sources.load(target if is_file else PRESET, environ=with_env_file(), sets=sets, flags=flags)


def _engine_of(serve: str) -> str | None:
    """The engine whose options a server takes; None for the common ones, and for no server."""
    from infertui.targets.endpoint.servers import PROGRAMS

    return next((program.engine or None for name, program in PROGRAMS.items() if name == serve), None)


def _headers(texts: list[str]) -> str | None:
    """What was given as NAME:VALUE, as the config has it. Raises UsageError."""
    from infertui.errors import UsageError
    from infertui.text import quoted

    found = {}
    for text in texts:
        name, colon, value = text.partition(":")
        if not colon or not name.strip():
            raise UsageError(f"--header {quoted(text, 40)} is not of the form NAME:VALUE")
        found[name.strip()] = value.strip()
    return json.dumps(found) if found else None


def _variants(config: "Config") -> list["Variant"]:
    from infertui.config.sweep import variants_of

    return variants_of(config, "")


def _queue(config: "Config", target: str, out: Path, *, as_json: bool, ui: Ui, report: bool) -> None:
    from infertui.cli.running.enqueue import enqueue

    refuse_with_queue({"--ui": ui != "auto", "--report": report})
    enqueue(_variants(config), title=config.target.url or target, out=out, as_json=as_json)


def _measure(config: "Config", out: Path, *, as_json: bool, ui: Ui, report: bool) -> int:
    from infertui.cli.running.foreground import INTERRUPTED, run_in_foreground

    ended: list[Result] = []
    code = run_in_foreground(_variants(config), out=out, save_json=None, as_json=as_json, ui=ui, take=ended.append)
    if report and code != INTERRUPTED:
        from infertui.cli.reading.lookup import opened
        from infertui.cli.reading.report import report_after

        report_after(out, ended, opened(out))
    return code
