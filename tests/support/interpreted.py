"""The fused decode step in Triton's interpreter: run as a program of its own, since Triton decides once for a process.

Prints a line of JSON: for each case the tokens of the fused step and those of the library.
"""

import json
from typing import Any, NamedTuple

from infertui.config.engines.transformers import TransformersOptions
from infertui.targets.engine.base import GenerationPlan
from infertui.targets.engine.transformers.fused import FusedWeights, GraphState
from infertui.targets.engine.transformers.graph import GraphMode

LENGTH = 4
PROMPTS = ([5, 6, 7, 8, 9], [1, 2], [9, 9, 9])
_LLAMA3 = {
    "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16, "rope_theta": 500000.0,
}  # fmt: skip


class Case(NamedTuple):
    sequences: int
    positions: int
    changes: dict[str, Any]


CASES = {
    "alone": Case(1, 40, {}),
    "padded batch": Case(3, 40, {}),
    "4 splits": Case(1, 300, {}),
    "4 splits, padded batch": Case(3, 300, {}),
    "16 splits": Case(1, 1100, {}),
    "no groups, scaled rotations": Case(
        1, 40, {"num_attention_heads": 4, "num_key_value_heads": 4, "head_dim": 32, "rope_parameters": _LLAMA3}
    ),
}


def llama(**changes: Any) -> Any:
    """A tiny Llama in float32 whose weights matter and whose norms are not all one."""
    import torch
    import transformers

    options = {
        "hidden_size": 96, "intermediate_size": 176, "num_hidden_layers": 2, "num_attention_heads": 6,
        "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 300, "max_position_embeddings": 4096,
    }  # fmt: skip
    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**options | changes)).eval()
    for part in model.parameters():
        part.data = part.data * 4 if part.dim() > 1 else part.data + torch.randn_like(part) / 10
    return model


def library(model: Any, prompt: list[int]) -> list[int]:
    """The greedy tokens of the library's own generate."""
    import torch

    output = model.generate(
        torch.tensor([prompt]), max_new_tokens=LENGTH, do_sample=False, eos_token_id=None, pad_token_id=0
    )
    ids: list[int] = output[0, len(prompt) :].tolist()
    return ids


class Launched(GraphMode):
    """Launches the step instead of capturing it."""

    def __init__(self, model: Any) -> None:
        self._model, self._pad_id = model, 0
        self._options = TransformersOptions(graph_step="fused")
        self._prefills = {}
        self._begin = lambda: None

    def tokens(self, prompts: tuple[list[int], ...], positions: int) -> list[list[int]]:
        import torch

        from infertui.targets.engine.transformers.fused import FusedStep

        width = max(map(len, prompts))
        plan = GenerationPlan(len(prompts), (width,), positions - width)
        self._state = GraphState(self._new_cache(positions), plan, positions, torch.device("cpu"))
        with torch.inference_mode():
            self._prefill(list(prompts))
            step = FusedStep(self._model, FusedWeights(self._model), self._state)
            self._prefill(list(prompts))
            step.begin()
            for _ in range(LENGTH - 1):
                step()
        ids: list[list[int]] = self._state.outputs[:, width : width + LENGTH].tolist()
        return ids


def main() -> None:
    import torch

    torch.set_num_threads(1)
    answer = {}
    for name, case in CASES.items():
        model = llama(**case.changes)
        prompts = PROMPTS[: case.sequences]
        expected = [library(model, prompt) for prompt in prompts]
        answer[name] = {"fused": Launched(model).tokens(prompts, case.positions), "library": expected}
    print(json.dumps(answer))  # noqa: T201


if __name__ == "__main__":
    main()
