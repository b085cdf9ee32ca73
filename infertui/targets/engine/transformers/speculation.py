"""Tokens drafted ahead and checked several at a time, by the library's assisted generation; one sequence at a time."""

from typing import Any

from infertui.targets.engine.base import EffectiveSettings

PROMPT_LOOKUP_TOKENS = 10
"""Tokens looked up at a time where the config leaves it open."""


class Speculation:
    """Where drafts come from: n-grams of the prompt and the output so far, or a smaller model.

    It counts what `generate` really drafted and accepted: its candidate generator is watched.
    """

    def __init__(self, draft: Any | None, tokens: int) -> None:
        """`draft` is a model with the same vocabulary, None for prompt lookup; `tokens` 0 is the library's choice."""
        self._draft, self._tokens = draft, tokens
        self._length = 0
        self._gained = 0
        self._forwards = self._drafted = self._accepted = 0
        self._generator = ""
        if draft is not None and tokens:
            # Exactly so many each time: no schedule, and no stopping where the draft model is in doubt.
            draft.generation_config.num_assistant_tokens = tokens
            draft.generation_config.num_assistant_tokens_schedule = "constant"
            draft.generation_config.assistant_confidence_threshold = 0.0

    @property
    def settings(self) -> dict[str, Any]:
        """For the GenerationConfig."""
        return {"prompt_lookup_num_tokens": self._tokens or PROMPT_LOOKUP_TOKENS} if self._draft is None else {}

    @property
    def arguments(self) -> dict[str, Any]:
        """For `generate`."""
        return {} if self._draft is None else {"assistant_model": self._draft}

    def begin(self, width: int) -> None:
        """A batch begins, with so many prompt tokens."""
        self._length, self._gained = width, 0

    def watched(self, make: Any) -> Any:
        """In place of `_get_candidate_generator`: makes the library's own, and watches what it proposes."""

        def made(*arguments: Any, **options: Any) -> Any:
            generator = make(*arguments, **options)
            self._generator = type(generator).__name__
            propose, update = generator.get_candidates, generator.update_candidate_strategy

            def get_candidates(ids: Any, *more: Any, **named: Any) -> Any:
                candidates, logits = propose(ids, *more, **named)
                self._drafted += int(candidates.shape[1] - ids.shape[1])
                self._forwards += 1
                return candidates, logits

            def update_candidate_strategy(ids: Any, *more: Any, **named: Any) -> Any:
                # The length is known on the host; the number of matches may still be on its way from the device.
                self._gained = int(ids.shape[1]) - self._length
                self._length = int(ids.shape[1])
                self._accepted += self._gained - 1
                return update(ids, *more, **named)

            generator.get_candidates = get_candidates
            generator.update_candidate_strategy = update_candidate_strategy
            return generator

        return made

    def gained(self) -> int:
        """Tokens of the step that has just ended."""
        return self._gained

    def effective(self) -> EffectiveSettings:
        """The word is that of the candidate generator that was at work."""
        word = {
            "": "none",
            "PromptLookupCandidateGenerator": "prompt-lookup",
            "AssistedCandidateGenerator": "draft-model",
        }.get(self._generator, self._generator)
        facts = {}
        if self._draft is not None:
            facts["draft_model"] = f"{type(self._draft).__name__}, {self._draft.num_parameters():,} parameters"
        return EffectiveSettings(
            settings={"speculation": word},
            counters={
                "forwards": self._forwards,
                "drafted_tokens": self._drafted,
                "accepted_tokens": self._accepted,
            },
            facts=facts,
        )
