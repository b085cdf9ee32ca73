"""`infertui external`: results that another program measured, kept beside ours and marked."""

import signal
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from infertui.cli.help import CommandGroup
from infertui.cli.output import say, say_json
from infertui.metrics.registry import metric_of

app = typer.Typer(
    cls=CommandGroup,
    help="Run another program's benchmark and keep its results, marked as its own.",
    no_args_is_help=True,
)


@app.command(
    "llama-bench",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    epilog="[bold]infertui external llama-bench --model model.gguf -p 512 -n 128 -ngl 99[/bold]: what is not listed "
    "here is handed to llama-bench as it is.",
)
def llama_bench(
    context: typer.Context,
    model: Annotated[str, typer.Option("--model", metavar="FILE.gguf", help="The model.")],
    binary: Annotated[str, typer.Option("--binary", metavar="FILE", help="llama-bench.", show_default="on PATH")] = "",
    out: Annotated[str, typer.Option("--out", metavar="DIR", help="Where results are kept.")] = "reports",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document with the results.")] = False,
) -> None:
    """Measure with llama.cpp's own llama-bench: without sampling, one sequence, no times of single tokens."""
    import msgspec

    from infertui.runner.external.llama_bench import gguf_path, run_llama_bench
    from infertui.telemetry.cards import gpus_now
    from infertui.text import clean
    from infertui.units import format_number

    _end_on_signals()
    results = run_llama_bench(
        gguf_path(model),
        context.args,
        binary=binary,
        out=Path(out),
        gpus=gpus_now(),
        told=lambda line: say(line, err=True),
    )
    if as_json:
        say_json({"results": msgspec.to_builtins(results)})
        return
    for result in results:
        rate = result.summary.total_throughput
        speed = f"{format_number(rate)} tokens/s" if rate else "not available"
        say(f"{clean(result.name)}  {speed}  {clean(result.source)}  {result.id}")


@app.command("trtllm-bench")
def trtllm_bench(
    model: Annotated[str, typer.Option("--model", metavar="MODEL", help="Hugging Face id or directory with weights.")],
    input_len: Annotated[int, typer.Option(min=1, max=1 << 22, help="Prompt tokens of each request.")] = 128,
    output_len: Annotated[int, typer.Option(min=1, max=1 << 20, help="Generated tokens of each request.")] = 128,
    requests: Annotated[int, typer.Option(min=1, max=1_000_000, help="Requests in all.")] = 64,
    batch_size: Annotated[int, typer.Option(min=1, max=65536, help="Requests that run together.")] = 8,
    tensor_parallel: Annotated[int, typer.Option(min=1, max=64, help="GPUs that share the model.")] = 1,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Seed of the random prompts.")] = 0,
    engine_dir: Annotated[
        str, typer.Option("--engine-dir", metavar="DIR", help="A built engine.", show_default="PyTorch backend")
    ] = "",
    binary: Annotated[str, typer.Option("--binary", metavar="FILE", help="trtllm-bench.", show_default="on PATH")] = "",
    out: Annotated[str, typer.Option("--out", metavar="DIR", help="Where results are kept.")] = "reports",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document with the results.")] = False,
) -> None:
    """Measure with TensorRT-LLM's own trtllm-bench, on the prompts that infertui's engines get for random prompts."""
    import msgspec

    from infertui.runner.external.trtllm_bench import BenchOrder, run_trtllm_bench
    from infertui.telemetry.cards import gpus_now
    from infertui.text import clean
    from infertui.units import format_number

    _end_on_signals()
    order = BenchOrder(
        model=model,
        input_len=input_len,
        output_len=output_len,
        requests=requests,
        batch_size=batch_size,
        tensor_parallel=tensor_parallel,
        seed=seed,
        backend="engine" if engine_dir else "pytorch",
        engine_dir=engine_dir,
    )
    result = run_trtllm_bench(
        order, binary=binary, out=Path(out), gpus=gpus_now(), told=lambda line: say(line, err=True)
    )
    if as_json:
        say_json({"results": [msgspec.to_builtins(result)]})
        return
    rate = metric_of("throughput").number(result)
    speed = f"{format_number(rate)} tokens/s" if rate else "not available"
    say(f"{clean(result.name)}  {speed}  {clean(result.source)}  {result.id}")
    for reason in result.verdict.invalid:
        say(f"infertui: {clean(reason)}", err=True)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _end_on_signals() -> None:
    """End the other program, too, when this one is told to end."""
    from infertui.endings import heeded

    for number in heeded():
        signal.signal(number, _interrupt)
