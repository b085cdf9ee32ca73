"""Does infertui report what a bare script measures? Both do the same work in turn, several times.

    python tests/benchmarks/agreement.py --device cpu --dtype float32 --model gpt2-124m --tokens 48

Prints a line per model and batch size: tokens per second of both, and the ratio of their medians.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from infertui import paths

BARE = Path(__file__).with_name("bare_generate.py")


def bare(model: str, batch: int, args: argparse.Namespace) -> list[float]:
    config = paths.data() / "models" / model
    numbers = map(str, (batch, args.prompt_tokens, args.tokens, args.iterations))
    command = [sys.executable, str(BARE), str(config), args.device, args.dtype, *numbers]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds: list[float] = json.loads(answer.stdout.strip().split("\n")[-1])
    return [batch * args.tokens / value for value in seconds]


def infertui(model: str, batch: int, args: argparse.Namespace) -> list[float]:
    with tempfile.TemporaryDirectory() as folder:
        command = [
            *(sys.executable, "-m", "infertui", "run", "--json", "--ui", "none", "--out", folder),
            *("--model", f"synthetic:{model}", "--device", args.device, "--dtype", args.dtype, "--warmup", "3"),
            *("--batch-size", str(batch), "--isl", str(args.prompt_tokens), "--osl", str(args.tokens)),
            *("--iterations", str(args.iterations)),
        ]
        answer = subprocess.run(command, check=True, capture_output=True, text=True)
        result = json.loads(answer.stdout)
        lines = (Path(folder) / result["id"] / "requests.jsonl").read_text().split("\n")
        latencies = {row["batch"]: row["latency"] for row in map(json.loads, filter(None, lines))}
        assert len(latencies) == args.iterations
        # The whole batch's wall time, as the summary counts it: a little more than the last token's latency.
        summary = result["summary"]
        tail = summary["measured_s"] / sum(latencies.values())
        return [batch * args.tokens / (latency * tail) for latency in latencies.values()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--model", nargs="+", default=["gpt2-124m"])
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--prompt-tokens", type=int, default=20)
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--iterations", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    for model in args.model:
        for batch in args.batch:
            both: dict[str, list[float]] = {"bare": [], "infertui": []}
            for turn in range(args.rounds):
                pair = (bare, infertui) if turn % 2 == 0 else (infertui, bare)
                for measure in pair:
                    both[measure.__name__] += measure(model, batch, args)
            medians = {name: statistics.median(values) for name, values in both.items()}
            ratio = medians["infertui"] / medians["bare"]
            print(
                f"{model} {args.device} {args.dtype} batch {batch}: bare {medians['bare']:.2f} tok/s, "
                f"infertui {medians['infertui']:.2f} tok/s, ratio {ratio:.4f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
