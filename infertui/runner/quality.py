"""The quality guard of a run: scores a text after measuring, and compares outputs with a reference at the end.

Nothing here fails a run that was measured: what cannot be found out is a reason.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

from msgspec.structs import replace

from infertui.config.schema import Config
from infertui.engines.base import Loaded
from infertui.errors import ConfigError, InfertuiError
from infertui.measure.agreement import Agreement, agreement
from infertui.measure.quality import EXACT_AGREEMENT, Quality, beyond, perplexity, same_text
from infertui.models.outputs_bleu import outputs_bleu
from infertui.report.identity import in_force
from infertui.runner.patience import answered, bounded
from infertui.runner.references import SAMPLED, find_reference, named_reference, stands_alone
from infertui.store.result import Result
from infertui.store.runs import Store
from infertui.terminal_text import clean
from infertui.worker.failure import WorkerError
from infertui.worker.process import WorkerProcess
from infertui.worker.protocol import AnyEvent, Score, Scored
from infertui.workloads.texts import ScoredText, load_text

LOOK_S = 15.0
"""What looking for a reference may take at the end of a run: the first index of 100,000 runs takes some seconds."""
IS_REFERENCE = "is the reference"
_RANDOM = "the weights are random: how well they predict a text means nothing"


class QualityGuard:
    """Of one run. `ready` before anything is loaded, `score` when all is measured, `judged` with the result."""

    def __init__(self, config: Config, store: Store) -> None:
        self._config, self._store = config, store
        self._text: ScoredText | None = None
        self._scored = Scored(0, reason="the run ended before a text could be scored")
        self.scoring = False
        """Whether the run was measured to its end, so that nothing that comes can take that away."""

    async def ready(self) -> None:
        """Read the text, where one is wanted. Raises ConfigError for one that cannot be, and for what means nothing."""
        quality, model = self._config.quality, self._config.model.id
        synthetic = model.startswith("synthetic:")
        if quality.perplexity == "on" and synthetic:
            raise ConfigError(
                "quality.perplexity",
                f"on, but {clean(model)} has random weights, whose perplexity means nothing",
                allowed="auto or off for synthetic models",
            )
        if quality.perplexity != "off" and not synthetic:
            self._text = await answered(lambda: load_text(quality))

    async def score(
        self,
        worker: WorkerProcess,
        loaded: Loaded,
        deadline: float | None,
        take: Callable[[AnyEvent], Awaitable[None]],
    ) -> bool:
        """Score the text on the worker that measured; False when that worker is not to be used again.

        `take` is told of the worker's events. Raises nothing but CancelledError.
        """
        self.scoring = True
        quality = self._config.quality
        if quality.perplexity == "off" or loaded.random_weights or self._text is None:
            why = "quality.perplexity is off" if quality.perplexity == "off" else _RANDOM
            self._scored = Scored(0, reason=why)
            return True
        limit = quality.score_timeout_s
        if deadline is not None:
            limit = min(limit, deadline - time.monotonic())
        if limit <= 0:
            self._scored = Scored(0, reason="measurement.total_timeout_s was over")
            return True
        self._scored = Scored(0, reason="scoring was cut off")
        try:
            async for event in worker.score(Score(self._text.content, quality.text_tokens, limit)):
                await take(event)
                if isinstance(event, Scored):
                    self._scored = event
        except asyncio.CancelledError:
            self._scored = Scored(0, reason="cancelled while the text was scored")
            raise
        except WorkerError as error:
            self._scored = Scored(0, reason=clean(error.message))
            return False
        return True

    async def judged(self, result: Result) -> Result:
        """`result` with its quality, where the run has finished. Takes LOOK_S at most, and raises nothing."""
        if result.state != "finished":
            return result
        own = self._perplexity()
        try:
            found = await bounded(lambda: judge(result, own, self._store), LOOK_S)
        except Exception as error:  # noqa: BLE001 (whatever is wrong with other runs' files must not lose this one)
            why = clean(error.message if isinstance(error, InfertuiError) else f"{type(error).__name__}: {error}")
            found = _without_reference(own, why)
        late = f"looking for a reference in the folder took longer than {LOOK_S:g} s"
        return replace(result, quality=found or _without_reference(own, late))

    def _perplexity(self) -> Quality:
        scored, text = self._scored, self._text
        value = None
        if scored.log_likelihood is not None:
            value = perplexity(scored.log_likelihood, scored.tokens)
        if value is None or text is None:
            return Quality(reasons={"perplexity": scored.reason or "the likelihoods are no finite numbers"})
        return Quality(
            perplexity=value,
            text=text.name,
            text_tokens=scored.tokens,
            window=scored.window,
            scored_by=clean(scored.how),
        )


def _without_reference(own: Quality, reason: str) -> Quality:
    return replace(own, reasons={**own.reasons, "agreement": reason})


def judge(result: Result, own: Quality, store: Store) -> Quality:
    """What a finished run's outputs and its perplexity, `own`, are beside the reference that its config asks for.

    Reads files: of the folder's runs a bounded number. Raises StoreError and what a broken index raises.
    """
    quality = result.config.quality
    if quality.reference == "none":
        return _without_reference(own, "quality.reference is none")
    if quality.reference == "auto":
        reference = find_reference(result, store)
        if reference is None:
            return _alone(result, own)
    else:
        reference = named_reference(quality.reference, store)
    return _beside(result, own, reference, store)


def _alone(result: Result, own: Quality) -> Quality:
    """Of a run that has no other to be compared with: later ones are compared with it."""
    if result.config.workload.temperature > 0:
        return _without_reference(own, SAMPLED)
    return replace(_without_reference(own, IS_REFERENCE), reference=result.id)


def _beside(result: Result, own: Quality, reference: Result, store: Store) -> Quality:
    quality, reasons = result.config.quality, dict(own.reasons)
    found: Agreement | None = None
    score: float | None = None
    why = stands_alone(result, reference)
    theirs, ours = store.outputs(reference.id), store.outputs(result.id)
    if not why and not ours:
        why = "the run kept no tokens"
    if not why:
        whole = agreement(theirs, ours)
        found = whole.brief() if whole.share is not None else None
        why = "" if found else "the reference has no prompt in common with it, or kept no tokens"
    if why:
        reasons["agreement"] = why
    if quality.bleu:
        try:
            if why:
                raise InfertuiError(why)
            score = outputs_bleu(result.config.model.id, result.config.model.revision, theirs, ours)
        except InfertuiError as error:
            reasons["bleu"] = clean(error.message)
    earlier = reference.quality
    before = None
    if own.perplexity is not None:
        if earlier is None or earlier.perplexity is None:
            reasons["reference_perplexity"] = "the reference has none"
        elif not same_text(earlier, own):
            reasons["reference_perplexity"] = "the reference was scored on another text, or in other windows"
        else:
            before = earlier.perplexity
    whole_quality = replace(
        own, reference=reference.id, agreement=found, bleu=score, reference_perplexity=before, reasons=reasons
    )
    least = _least_agreement(result, reference)
    return replace(
        whole_quality, beyond=beyond(whole_quality, min_agreement=least, max_rise=quality.max_perplexity_rise)
    )


def _least_agreement(result: Result, reference: Result) -> float:
    asked = result.config.quality.min_agreement
    if asked != "auto":
        return asked
    exact = all(
        run.loaded is not None and run.loaded.dtype == "float32" and in_force(run, "quantization") in ("", "none")
        for run in (result, reference)
    )
    return EXACT_AGREEMENT if exact else 0.0
