"""From prompts to batches of token ids: the same ids for every engine that shares a tokenizer."""

import math
import random
from collections.abc import Callable, Collection, Sequence

from msgspec import Struct

from infertui.config.schema import MeasurementConfig, WorkloadConfig
from infertui.errors import ConfigError

AUTO_ITERATIONS = 5


class EncodedPrompt(Struct, frozen=True):
    """What a request asks: its text (empty for random ids) and its token ids."""

    text: str
    ids: tuple[int, ...]


def iterations_of(workload: WorkloadConfig, measurement: MeasurementConfig, pool: int) -> int:
    """Batches to measure: as configured, or enough for `num_prompts`, or once through a pool of prompts."""
    if measurement.iterations:
        return measurement.iterations
    if workload.num_prompts:
        return math.ceil(workload.num_prompts / workload.batch_size)
    return max(AUTO_ITERATIONS, math.ceil(pool / workload.batch_size))


class BatchSource:
    """Makes the n-th batch of a workload. Prompts are taken in order and start over at the end of the pool.

    `encode` is the engine's tokenizer; random ids are drawn from the vocabulary without its special ids.
    """

    def __init__(
        self,
        workload: WorkloadConfig,
        prompts: Sequence[str],
        *,
        encode: Callable[[str], list[int]],
        vocabulary: int,
        special_ids: Collection[int] = (),
    ) -> None:
        self._workload = workload
        self._prompts = prompts
        self._encode = encode
        special = frozenset(special_ids)
        self._ordinary = [] if prompts else [token for token in range(vocabulary) if token not in special]
        self._encoded: dict[int, EncodedPrompt] = {}

    def batch(self, index: int) -> list[EncodedPrompt]:
        """The prompts of batch `index`, always `batch_size` of them. Raises ConfigError for an empty prompt."""
        size = self._workload.batch_size
        return [self._request(index * size + slot) for slot in range(size)]

    def _request(self, number: int) -> EncodedPrompt:
        if not self._prompts:
            return self._random(number)
        slot = number % len(self._prompts)
        if slot not in self._encoded:
            self._encoded[slot] = self._encode_prompt(self._prompts[slot])
        return self._encoded[slot]

    def _random(self, number: int) -> EncodedPrompt:
        generator = random.Random(f"{self._workload.seed}:{number}")  # noqa: S311 (prompts, not secrets)
        return EncodedPrompt("", tuple(generator.choices(self._ordinary, k=self._workload.input_len)))

    def _encode_prompt(self, text: str) -> EncodedPrompt:
        ids = self._encode(text)
        if not ids:
            raise ConfigError("workload.prompts_file", f"the prompt {text[:40]!r} has no tokens")
        return EncodedPrompt(text, tuple(fit_length(ids, self._workload.input_len)))


def fit_length(ids: Sequence[int], length: int) -> Sequence[int]:
    """Exactly `length` ids, cut or repeated from the start; as they are when `length` is 0."""
    if not length:
        return ids
    return (list(ids) * math.ceil(length / len(ids)))[:length]
