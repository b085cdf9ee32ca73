"""What a worker is asked to load."""

from collections.abc import Sequence

from infertui.config.schema import Config, WorkloadConfig
from infertui.runner.loading import Choice
from infertui.targets.engine.base import Capacity, LoadRequest, spec_of

# A token is a byte at least; tokenizers put up to two special ones around a prompt.
AROUND_A_PROMPT = 2


def load_request(config: Config, choice: Choice, prompts: Sequence[str]) -> LoadRequest:
    """The request for the chosen engine. Those that are not sized at load know no capacity, and stay loaded longer."""
    sized = spec_of(choice.engine.name).sized_at_load
    return LoadRequest(
        config.model,
        choice.engine,
        config.device,
        capacity=capacity_of(config.workload, prompts) if sized else None,
        requested=choice.requested,
        fallback_reason=choice.reason,
    )


def capacity_of(workload: WorkloadConfig, prompts: Sequence[str]) -> Capacity:
    """The most that a workload asks for; without `input_len` an upper bound from the longest of its prompts."""
    longest = max((len(prompt.encode(errors="replace")) for prompt in prompts), default=0)
    return Capacity(
        sequences=workload.batch_size,
        prompt_tokens=workload.input_len or longest + AROUND_A_PROMPT,
        output_tokens=workload.output_len,
    )
