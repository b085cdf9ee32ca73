"""The tokens that a run generated, kept to compare engines and settings by what they say: outputs.jsonl."""

from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from infertui.measure.records import BatchRecord
from infertui.results.jsonl import read_lines

OUTPUTS = "outputs.jsonl"


class Output(Struct, frozen=True):
    """A line of outputs.jsonl: the ids generated for a prompt, in the measured batch of that index.

    `prompt_sha256` is that of the prompt's token ids in decimal with commas between. Of each prompt the first output
    is kept, of 64 prompts and 4096 tokens at most.
    """

    prompt_sha256: str
    prompt_tokens: int
    output: tuple[int, ...]
    batch: int


def outputs_of(batch: BatchRecord) -> Iterator[Output]:
    """The outputs that came with a batch."""
    for part in batch.requests:
        if part.output:
            yield Output(part.prompt_sha256, part.prompt_tokens, part.output, batch.index)


def read_outputs(folder: Path) -> dict[str, tuple[int, ...]]:
    """What a run's folder holds, by prompt, for `measure.agreement`; empty where nothing is. Raises StoreError."""
    lines = read_lines(folder / OUTPUTS, Output, warn=lambda _: None)
    return {line.prompt_sha256: line.output for line in lines}
