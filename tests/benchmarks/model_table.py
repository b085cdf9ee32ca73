"""What is said of models of many families, held against Transformers: docs/models.md.

    python tests/benchmarks/model_table.py > docs/models.md

Each model is described at its real size, from its config alone, by infertui (a formula for the families that it knows,
else Transformers on the meta device). Parameters are compared with a model that Transformers builds here without
weights; what is kept of a token with the cache that a small sibling of the model makes in a real forward pass.
"""

import sys
import warnings
from pathlib import Path

import torch
import transformers

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.architectures import ARCHITECTURES, Architecture
from targets.engine.test_describe import real

from infertui.errors import ModelError
from infertui.models.memory.kv_cache import Cache, bytes_per_token
from infertui.models.shapes import read_shape
from infertui.targets.engine.transformers.describe import describe
from infertui.units import format_bytes, format_count

HEAD = """# What infertui says of a model's size

Written by `tests/benchmarks/model_table.py` with Transformers {version}, PyTorch {torch}. Nothing was downloaded: the
configs are those of Transformers' own config classes, with the values of the model that is named.

- **told by**: `formula` for families whose layers infertui counts itself, from config.json alone; `Transformers` where
  it asks the library, which builds the model without weights (on PyTorch's meta device) and looks at its own cache.
- **parameters**: compared with the model as Transformers builds it here, number by number.
- **a token keeps**: bytes of the KV cache in 16 bits that one more token takes while no window is full; beside it what
  layers keep within a window, and states that do not grow. Compared, for a small sibling of the model with the same
  kinds of layers, with the bytes that a real forward pass on a CPU left in the library's cache after 9, 10 and 40
  tokens.

| model | `model_type` | told by | parameters | a token keeps | | verdict |
| --- | --- | --- | --- | --- | --- | --- |"""


def main() -> None:
    """Print the page."""
    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    print(HEAD.format(version=transformers.__version__, torch=torch.__version__))
    verdicts: dict[str, int] = {}
    for architecture in ARCHITECTURES:
        line, verdict = row(architecture)
        verdicts[verdict] = verdicts.get(verdict, 0) + 1
        print(line, flush=True)
    print("\n" + ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items()) + ".")


def row(architecture: Architecture) -> tuple[str, str]:
    """A line of the table, and whether it is right."""
    config = architecture.whole()
    full = transformers.CONFIG_MAPPING[architecture.model_type].from_dict(config)
    with torch.device("meta"):
        built = transformers.AutoModelForCausalLM.from_config(full)
    parameters = sum(tensor.numel() for tensor in built.parameters())
    told_by, count, cache = said(full.to_dict())
    small = said(transformers.CONFIG_MAPPING[architecture.model_type].from_dict(architecture.sibling()).to_dict())
    if cache is None or small[2] is None:
        verdict = "said not known" if count == parameters else "wrong"
    else:
        verdict = "right" if count == parameters and agrees(architecture, small[1], small[2]) else "wrong"
    each = "not known" if cache is None else format_bytes(bytes_per_token(cache, 2, 2))
    return (
        f"| {architecture.name} | {architecture.model_type} | {told_by} | {count:,} ({format_count(count)}) | {each} "
        f"| {beside(cache or ())} | {verdict} |",
        verdict,
    )


def said(config: dict[str, object]) -> tuple[str, int, Cache | None]:
    """Who says it, parameters, and what is kept: as for a checkpoint with that config.json."""
    try:
        shape = read_shape(config)
    except ModelError:
        shape = None
    if shape is not None and shape.exact:
        return "formula", shape.parameters, shape.cache
    told = describe(config)
    return "Transformers", told.parameters, told.cache


def agrees(architecture: Architecture, count: int, cache: Cache) -> bool:
    """Whether a real forward pass of the sibling kept what was said."""
    parameters, kept = real(architecture)
    state = round(sum(group.state_bytes(4) for group in cache))
    growth = kept[10] - kept[9]
    cut = sum(group.token_bytes(4, 4) * min(40, group.window - 1 if group.window else 40) for group in cache)
    return (
        count == parameters
        and bytes_per_token(cache, 4, 4) == growth
        and state == kept[9] - 9 * growth
        and cut + state == kept[40]
    )


def beside(cache: Cache) -> str:
    """Windows and states in words."""
    parts = [f"{group.layers} layers within {group.window:,} tokens" for group in cache if group.window]
    if state := sum(group.state_bytes(2) for group in cache):
        parts.append(f"{format_bytes(state)} of states")
    return ", ".join(parts)


if __name__ == "__main__":
    main()
