"""A few kept results side by side: output tokens a second by model, engine and batch."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from statistics import median

import msgspec
from support.kept import REPORTS
from support.manual.markdown import code, table

from infertui.results.result import Result

MODELS = {"tinyllama-1.1b": 1_100_048_384, "llama-8b": 8_030_261_248}
"""Shapes by name, with their parameters: a checkpoint or a config of that shape has a name of its own."""
BATCHES = (1, 8, 32)
LENGTHS = (100, 200)
"""Tokens in and out: only runs of one length can stand in one table."""
Row = tuple[str, str, str]


def speeds(folders: Iterable[str]) -> str:
    """A row a model, engine and capture; captures, which are folders of `reports/`, that are not there have none.

    A cell is the median over the valid runs of that batch.
    """
    found: dict[Row, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    days: dict[str, str] = {}
    for folder in folders:
        for result in _results(folder):
            model, way, workload = _model(result), _way(result), result.own_config.workload
            speed = result.summary.output_throughput
            if model and way and speed is not None and (workload.input_len, workload.output_len) == LENGTHS:
                found[model, way, folder][workload.batch_size].append(speed)
                days[folder] = min(days.get(folder, "9"), result.started[:10])
    rows = []
    for (model, way, folder), cells in sorted(found.items(), key=lambda item: list(MODELS).index(item[0][0])):
        medians = [f"{median(cells[batch]):,.0f}" if cells.get(batch) else "" for batch in BATCHES]
        rows.append((model, way, *medians, f"{days[folder]}, {code(folder)}"))
    return table(("model", "engine", *(f"batch {batch}" for batch in BATCHES), "measured"), rows)


def _model(result: Result) -> str:
    parameters = result.loaded.parameters if result.loaded else None
    for name, number in MODELS.items():
        if name in result.own_config.model.id or parameters == number:
            return name
    return ""


def _results(folder: str) -> Iterator[Result]:
    path = REPORTS / folder / "results.jsonl"
    for line in path.read_bytes().splitlines() if path.exists() else ():
        result = msgspec.json.decode(line, type=Result)
        if result.state == "finished" and result.verdict.valid:
            yield result


def _way(result: Result) -> str:
    """How it ran, in a few words, where the table has a row for that; empty where it has none."""
    engine, loaded = result.own_config.engine, result.loaded
    if loaded is None or loaded.engine != engine.name:
        return ""
    if engine.name != "llama-cpp" and loaded.dtype != "bfloat16":
        return ""
    if engine.name == "vllm":
        own = result.own_config.engine.vllm.sizes == "library"
        return "vLLM" if own else "vLLM, sizes of the workload"
    if engine.name == "llama-cpp":
        on_gpu, _, layers = loaded.offloaded_layers.partition(" of ")
        return "llama.cpp, Q8_0" if on_gpu == layers else ""
    if engine.name == "transformers" and engine.quantization == "auto" and engine.tensor_parallel == 1:
        match engine.mode, engine.transformers.graph_step:
            case ("auto" | "eager", _):
                return "Transformers, eager"
            case ("compile", _):
                return "Transformers, compile"
            case ("cudagraph", "fused"):
                return "Transformers, infertui's fused step"
    return ""
