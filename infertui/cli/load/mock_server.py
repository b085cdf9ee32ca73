"""`infertui mock-server`: a server whose times are known, to hold clients against."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infertui.cli.output import say
from infertui.errors import ConfigError

if TYPE_CHECKING:
    from infertui.mock.options import MockOptions

EPILOG = """[bold]Examples[/bold]

  infertui mock-server --port 8000 --ttft 50ms --itl 10ms

  infertui mock-server --dressing crlf,ping-comments --ttft 300ms      (--list-dressings explains them)

  infertui mock-server --fault rate-limited,reset --fault-rate 0.05 --seed 1

  infertui mock-server --slots 32 --itl-per-stream 0.2ms --describe --slo-itl 15ms      (the truth, and its formula)

  curl -N localhost:8000/v1/completions -d '{"model":"mock","prompt":"x","max_tokens":8,"stream":true}'

/mock describes the server, /mock/stats says what it did and how late its own writes were, /mock/requests lists the
latest requests, /metrics has vLLM's names. It listens on this machine alone.
"""


def mock_server(
    host: Annotated[str, typer.Option("--host", metavar="HOST", help="127.0.0.1, ::1 or localhost.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", metavar="N", help="0: one that is free; the first line tells it.")] = 0,
    uds: Annotated[str, typer.Option("--uds", metavar="PATH", help="Listen on a unix socket instead.")] = "",
    family: Annotated[
        str,
        typer.Option(
            "--server",
            metavar="NAME",
            help="Answer only to the paths of openai, vllm, sglang, llama-server, ollama, tgi or triton; all: of all.",
        ),
    ] = "all",
    ttft: Annotated[
        str, typer.Option("--ttft", metavar="TIME", help="From a request's arrival to its first token.")
    ] = "50ms",
    itl: Annotated[str, typer.Option("--itl", metavar="TIME", help="Between two tokens.")] = "10ms",
    osl: Annotated[
        int, typer.Option("--osl", metavar="N", help="Most tokens of an answer; 0: as asked for, or 64.")
    ] = 0,
    ttft_spread: Annotated[
        str, typer.Option("--ttft-spread", metavar="TIME", help="TTFT varies evenly by so much to both sides.")
    ] = "0ms",
    itl_spread: Annotated[
        str,
        typer.Option("--itl-spread", metavar="TIME", help="Each token's deadline varies so, by up to half of --itl."),
    ] = "0ms",
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Of spreads, faults and cuts.")] = 0,
    dressing: Annotated[
        str, typer.Option("--dressing", metavar="NAMES", help="What the stream looks like: names with commas.")
    ] = "",
    list_dressings: Annotated[
        bool, typer.Option("--list-dressings", help="Explain the dressings and faults, and stop.")
    ] = False,
    fault: Annotated[
        str, typer.Option("--fault", metavar="NAMES", help="What goes wrong, in turns: names with commas.")
    ] = "",
    fault_rate: Annotated[
        float, typer.Option("--fault-rate", metavar="SHARE", help="Share of the requests that have a fault.")
    ] = 1.0,
    fault_every: Annotated[
        int, typer.Option("--fault-every", metavar="N", help="Every N-th request instead; 0: by --fault-rate.")
    ] = 0,
    slots: Annotated[
        int, typer.Option("--slots", metavar="N", help="Requests that decode at a time, others wait; 0: all.")
    ] = 0,
    itl_per_stream: Annotated[
        str, typer.Option("--itl-per-stream", metavar="TIME", help="ITL grows so for each other running request.")
    ] = "0ms",
    prefill_rate: Annotated[
        float,
        typer.Option(
            "--prefill-rate", metavar="TOK/S", help="TTFT grows with prompt tokens not cached; 0: it does not."
        ),
    ] = 0.0,
    prefix_cache: Annotated[
        bool, typer.Option("--prefix-cache", help="Simulate a prefix cache of blocks of 16 tokens.")
    ] = False,
    kv_blocks: Annotated[
        int, typer.Option("--kv-blocks", metavar="N", help="Size of the KV cache in blocks.")
    ] = 65_536,
    stop_after: Annotated[
        int, typer.Option("--stop-after", metavar="N", help="Refuse connections after N requests; 0: never.")
    ] = 0,
    tls: Annotated[bool, typer.Option("--tls", help="HTTPS, with a certificate made now.")] = False,
    tls_cert: Annotated[str, typer.Option("--tls-cert", metavar="FILE", help="HTTPS, with this certificate.")] = "",
    tls_key: Annotated[str, typer.Option("--tls-key", metavar="FILE", help="Its key.")] = "",
    api_key_env: Annotated[
        str, typer.Option("--api-key-env", metavar="NAME", help="Require the key that this variable holds.")
    ] = "",
    spin: Annotated[
        str, typer.Option("--spin", metavar="TIME", help="Wait actively for so long before a deadline; 0: never.")
    ] = "60us",
    coalesce: Annotated[
        str,
        typer.Option(
            "--coalesce", metavar="TIME", help="Wake up at most so often, for less CPU; writes are late by up to it."
        ),
    ] = "0us",
    describe: Annotated[
        bool, typer.Option("--describe", help="Print what a client has to find, with the formula, and stop.")
    ] = False,
    slo_ttft: Annotated[
        str | None, typer.Option("--slo-ttft", metavar="TIME", help="For --describe: limit of mean TTFT.")
    ] = None,
    slo_itl: Annotated[
        str | None, typer.Option("--slo-itl", metavar="TIME", help="For --describe: limit of ITL.")
    ] = None,
    uncached: Annotated[
        int, typer.Option("--uncached", metavar="N", min=0, help="For --describe: uncached prompt tokens.")
    ] = 0,
) -> None:
    """Serve a mock of an inference server, in all dialects: no model is run, and all times are known.

    What a client reports of it can be held against the truth. The model is called `mock`. Ctrl-C ends it.
    """
    from infertui.mock.options import MockOptions, check, seconds
    from infertui.mock.truth import describe as described

    if list_dressings:
        _list()
        return
    options = check(
        MockOptions(
            host=host,
            port=port,
            uds=uds,
            family=family,  # type: ignore[arg-type]
            ttft_s=seconds(ttft, name="--ttft"),
            itl_s=seconds(itl, name="--itl"),
            osl=osl,
            ttft_spread_s=seconds(ttft_spread, name="--ttft-spread"),
            itl_spread_s=seconds(itl_spread, name="--itl-spread"),
            seed=seed,
            dressings=_words(dressing),
            faults=_words(fault),
            fault_rate=fault_rate,
            fault_every=fault_every,
            slots=slots,
            itl_per_stream_s=seconds(itl_per_stream, name="--itl-per-stream"),
            prefill_rate=prefill_rate,
            prefix_cache=prefix_cache,
            kv_blocks=kv_blocks,
            stop_after=stop_after,
            tls=tls,
            tls_cert=tls_cert,
            tls_key=tls_key,
            api_key=_key(api_key_env),
            spin_s=seconds(spin, name="--spin"),
            coalesce_s=seconds(coalesce, name="--coalesce"),
        )
    )
    if describe:
        limits = [
            seconds(text, name=name) if text else None
            for name, text in (("--slo-ttft", slo_ttft), ("--slo-itl", slo_itl))
        ]
        say(described(options, ttft_slo_s=limits[0], itl_slo_s=limits[1], uncached_tokens=uncached), end="")
        return
    _serve(options)


def _serve(options: "MockOptions") -> None:
    from infertui.mock.server import MockHost, run

    def ready(host: MockHost) -> None:
        import sys

        say(host.url)
        say("infertui mock server: no model is run; /mock describes it, Ctrl-C ends it", err=True)
        if host.ca_file:
            say(f"certificate to trust: {Path(host.ca_file)}", err=True)
        sys.stdout.flush()

    run(options, ready)


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _key(name: str) -> str:
    if not name:
        return ""
    if not (key := os.environ.get(name, "")):
        raise ConfigError("--api-key-env", f"the variable {name} is not set, or empty")
    return key


def _list() -> None:
    from infertui.cli.output import Painted
    from infertui.mock.dressings import DRESSINGS
    from infertui.mock.faults import FAULTS

    say(Painted("Dressings, for --dressing", bold=True))
    for name, dressing in DRESSINGS.items():
        say(f"  {name:<20} {dressing.what}\n{'':<22} right: {dressing.right}")
    say(Painted("Faults, for --fault", bold=True))
    for name, what in FAULTS.items():
        say(f"  {name:<20} {what}")
