"""Which generated tokens are kept with a run, to compare engines and settings by what they say."""

import hashlib
from collections.abc import Callable, Sequence

from infertui.errors import EngineError

MOST_PROMPTS = 64
MOST_TOKENS = 4096


def name_of(ids: Sequence[int]) -> str:
    """What a prompt goes by: the SHA-256 of its token ids in decimal with commas between, in hex digits."""
    return hashlib.sha256(",".join(map(str, ids)).encode()).hexdigest()


class OutputPicker:
    """Picks the outputs of one run: of each prompt the first, of so many prompts and so many tokens at most."""

    def __init__(self) -> None:
        self._seen: set[tuple[int, ...]] = set()
        self.kept: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {}
        """Prompt and output of each, by the name of the prompt."""

    def pick(
        self, prompts: Sequence[tuple[int, ...]], counts: Sequence[int], read: Callable[[], list[list[int]]]
    ) -> list[tuple[int, ...]]:
        """The ids to keep of each sequence of a batch, none for those that are not; `read` only where some are.

        Raises EngineError for an engine whose ids are not as many as it said.
        """
        wanted: list[int] = []
        for sequence, prompt in enumerate(prompts):
            if len(self._seen) < MOST_PROMPTS and prompt not in self._seen:
                self._seen.add(prompt)
                wanted.append(sequence)
        if not wanted:
            return []
        ids = read()
        if [len(output) for output in ids] != list(counts):
            raise EngineError("the engine's outputs do not have as many tokens as it counted while it generated")
        kept: list[tuple[int, ...]] = [()] * len(prompts)
        for sequence in wanted:
            kept[sequence] = tuple(ids[sequence][:MOST_TOKENS])
            self.kept[name_of(prompts[sequence])] = prompts[sequence], kept[sequence]
        return kept
