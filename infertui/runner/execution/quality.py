"""The quality guard of a run: scores a text after measuring, and compares outputs with a reference at the end.

Nothing here fails a run that was measured: what cannot be found out is a reason.
"""

import asyncio
import contextlib
import time
from collections.abc import Mapping

from msgspec.structs import replace

from infertui.config.schema import Config
from infertui.errors import ConfigError, InfertuiError
from infertui.load.prompts import ScoredText, load_text
from infertui.measure.quality import (
    EXACT_AGREEMENT,
    MANY,
    Agreement,
    Quality,
    agreement,
    beyond,
    perplexity,
    same_text,
    without_ties,
)
from infertui.results.result import Result
from infertui.results.runs import Store
from infertui.runner.blocking import call_with_timeout, run_blocking
from infertui.runner.execution.references import (
    SAMPLED,
    computes_exactly,
    find_farther,
    find_reference,
    named_reference,
    outputs_bleu,
    stands_alone,
)
from infertui.runner.execution.reporter import RunReporter
from infertui.targets.engine.base import Loaded
from infertui.text import clean
from infertui.worker.failure import WorkerError
from infertui.worker.process import WorkerProcess
from infertui.worker.protocol import FindGaps, Score, Scored

LOOK_S = 15.0
"""What looking for a reference may take at the end of a run: the first index of 100,000 runs takes some seconds."""
GAPS_S = 30.0
"""What looking at the logits may take where outputs part from those of one other run."""
LOOKED_INTO = 16
"""Prompts whose partings are looked at, those that part first."""
FEW = 4
"""Runs that are looked at so where this one becomes the reference."""
_NAME = 12
IS_REFERENCE = "is the reference"
_RANDOM = "the weights are random: how well they predict a text means nothing"


def scored_text(config: Config) -> ScoredText | None:
    """The text that is to be scored, None without one. Raises ConfigError for one that cannot be, and for what means
    nothing."""
    quality, model = config.quality, config.model.id
    synthetic = model.startswith("synthetic:")
    if quality.perplexity == "on" and synthetic:
        raise ConfigError(
            "quality.perplexity",
            f"on, but {clean(model)} has random weights, whose perplexity means nothing",
            allowed="auto or off for synthetic models",
        )
    return None if quality.perplexity == "off" or synthetic else load_text(quality)


class QualityGuard:
    """Of one run. `ready` before anything is loaded, `score` when all is measured, `judged` with the result."""

    def __init__(self, config: Config, store: Store) -> None:
        self._config, self._store = config, store
        self._text: ScoredText | None = None
        self._scored = Scored(0, reason="the run ended before a text could be scored")
        self._gaps: dict[str, dict[str, float]] = {}
        self.resaid: tuple[str, ...] = ()
        """Earlier runs that were held against this one anew, because it is nearer to the model than their reference."""
        self.scoring = False
        """Whether the run was measured to its end, so that nothing that comes can take that away."""

    async def ready(self) -> None:
        """Read the text, where one is wanted. Raises ConfigError for one that cannot be, and for what means nothing."""
        self._text = await run_blocking(lambda: scored_text(self._config))

    async def score(
        self,
        worker: WorkerProcess,
        loaded: Loaded,
        deadline: float | None,
        reporter: RunReporter,
    ) -> bool:
        """Score the text on the worker that measured; False when that worker is not to be used again.

        The phase is told by `reporter`. Raises nothing but CancelledError.
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
                reporter.take(event)
                if isinstance(event, Scored):
                    reporter.end(event.t_ns)
                    self._scored = event
        except asyncio.CancelledError:
            self._scored = Scored(0, reason="cancelled while the text was scored")
            raise
        except WorkerError as error:
            self._scored = Scored(0, reason=clean(error.message))
            return False
        return True

    async def look_closer(self, worker: WorkerProcess, so_far: Result) -> bool:
        """Where outputs part, ask the worker how far its logits are apart; False when it is not to be used again.

        `so_far` is the run as far as it is known. Raises nothing but CancelledError.
        """
        try:
            wanted = await call_with_timeout(lambda: partings(so_far, self._store), LOOK_S) or {}
        except Exception:  # noqa: BLE001 (judging looks again, and says what is wrong)
            wanted = {}
        for other, asked in wanted.items():
            try:
                self._gaps[other] = (await worker.find_gaps(FindGaps(asked, GAPS_S))).gaps
            except WorkerError:
                return False
        return True

    async def judged(self, result: Result) -> Result:
        """`result` with its quality, where the run has finished. Takes LOOK_S at most, and raises nothing."""
        if result.state != "finished":
            return result
        own = self._perplexity()
        try:
            found = await call_with_timeout(lambda: judge(result, own, self._store, self._gaps), LOOK_S)
        except Exception as error:  # noqa: BLE001 (whatever is wrong with other runs' files must not lose this one)
            why = clean(error.message if isinstance(error, InfertuiError) else f"{type(error).__name__}: {error}")
            found = _without_reference(own, why)
        late = f"looking for a reference in the folder took longer than {LOOK_S:g} s"
        whole = replace(result, quality=found or _without_reference(own, late))
        if found is not None and found.reference == result.id:
            with contextlib.suppress(
                Exception
            ):  # those runs' own files: what is wrong with them must not lose this one
                self.resaid = await call_with_timeout(lambda: say_again(whole, self._store, self._gaps), LOOK_S) or ()
        return whole

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


def partings(result: Result, store: Store) -> dict[str, dict[str, tuple[int, int]]]:
    """Where its outputs part from those of the runs that it is going to be held against, or these against it.

    By run and prompt: the place, and the other run's token there. Only where a verdict may hang on it, and of the
    first LOOKED_INTO prompts. Raises StoreError.
    """
    quality = result.own_config.quality
    if quality.reference == "none" or quality.min_agreement != "auto" or not computes_exactly(result):
        return {}
    reference = find_reference(result, store) if quality.reference == "auto" else None
    if quality.reference != "auto":
        reference = named_reference(quality.reference, store)
    others = [reference] if reference is not None else find_farther(result, store)
    ours = store.outputs(result.id)
    found: dict[str, dict[str, tuple[int, int]]] = {}
    for other in others[:FEW]:
        if not computes_exactly(other) or stands_alone(result, other):
            continue
        theirs = store.outputs(other.id)
        whole = agreement(theirs, ours)
        if whole.share is None or whole.share >= EXACT_AGREEMENT:
            continue
        places = sorted(whole.diverged.items(), key=lambda item: (item[1], item[0]))
        inside = {name: (at, theirs[name][at]) for name, at in places if at < min(len(theirs[name]), len(ours[name]))}
        found[other.id] = dict(list(inside.items())[:LOOKED_INTO])
    return found


def judge(result: Result, own: Quality, store: Store, gaps: Mapping[str, Mapping[str, float]]) -> Quality:
    """What a finished run's outputs and its perplexity, `own`, are beside the reference that its config asks for.

    `gaps` has those of `partings` that were found, by the other run. Reads files, of the folder's runs a bounded
    number. Raises StoreError and what a broken index raises.
    """
    quality = result.own_config.quality
    if quality.reference == "none":
        return _without_reference(own, "quality.reference is none")
    if quality.reference == "auto":
        reference = find_reference(result, store)
        if reference is None:
            return _alone(result, own)
    else:
        reference = named_reference(quality.reference, store)
    return _beside(result, own, reference, store, gaps.get(reference.id, {}))


def say_again(reference: Result, store: Store, gaps: Mapping[str, Mapping[str, float]]) -> tuple[str, ...]:
    """Hold the runs that are farther from the model than `reference` against it, and keep what they are now.

    Gives their ids. What was said before stays in their folders. Raises StoreError.
    """
    said = []
    for other in find_farther(reference, store):
        held = other.quality or Quality()
        own = Quality(
            perplexity=held.perplexity,
            text=held.text,
            text_tokens=held.text_tokens,
            window=held.window,
            scored_by=held.scored_by,
            reasons={name: why for name, why in held.reasons.items() if name == "perplexity"},
        )
        found = _beside(other, own, reference, store, gaps.get(other.id, {}))
        if found != held:
            store.supersede(other, replace(other, quality=found))
            said.append(other.id)
    return tuple(said)


def _alone(result: Result, own: Quality) -> Quality:
    """Of a run that has no other to be compared with: later ones are compared with it."""
    if result.own_config.workload.temperature > 0:
        return _without_reference(own, SAMPLED)
    return replace(_without_reference(own, IS_REFERENCE), reference=result.id)


def _beside(result: Result, own: Quality, reference: Result, store: Store, gaps: Mapping[str, float]) -> Quality:
    quality, reasons = result.own_config.quality, dict(own.reasons)
    found: Agreement | None = None
    settled: float | None = None
    score: float | None = None
    why = stands_alone(result, reference)
    theirs, ours = store.outputs(reference.id), store.outputs(result.id)
    if not why and not ours:
        why = "the run kept no tokens"
    if not why:
        whole = agreement(theirs, ours)
        found = whole.brief() if whole.share is not None else None
        settled = without_ties(theirs, ours, gaps)
        why = "" if found else "the reference has no prompt in common with it, or kept no tokens"
    if why:
        reasons["agreement"] = why
    if quality.bleu:
        try:
            if why:
                raise InfertuiError(why)
            score = outputs_bleu(result.own_config.model.id, result.own_config.model.revision, theirs, ours)
        except InfertuiError as error:
            reasons["bleu"] = clean(error.message)
    earlier = reference.quality
    before = None
    if own.perplexity is not None:
        if earlier is None or earlier.perplexity is None:
            reasons["reference_perplexity"] = "the reference has none"
        elif not same_text(earlier, own):
            reasons["reference_perplexity"] = _other_text(earlier, own)
        else:
            before = earlier.perplexity
    whole_quality = replace(
        own,
        reference=reference.id,
        agreement=found,
        bleu=score,
        reference_perplexity=before,
        gaps={name[:_NAME]: gap for name, gap in gaps.items()},
        share_without_ties=settled,
        reasons=reasons,
    )
    least = _least_agreement(result, reference, whole_quality)
    return replace(
        whole_quality, beyond=beyond(whole_quality, min_agreement=least, max_rise=quality.max_perplexity_rise)
    )


def _other_text(theirs: Quality, ours: Quality) -> str:
    """Why two perplexities are not compared."""
    if (theirs.text, theirs.text_tokens) != (ours.text, ours.text_tokens):
        return f"the reference was scored on another text: {theirs.text_tokens:,} tokens of {clean(theirs.text)}"
    return f"the reference was scored in windows of {theirs.window} tokens, this in windows of {ours.window}"


def _least_agreement(result: Result, reference: Result, found: Quality) -> float:
    """The share of equal tokens that is asked for. One output that parts proves nothing while the gap is unknown."""
    asked = result.own_config.quality.min_agreement
    if asked != "auto":
        return asked
    if not (computes_exactly(result) and computes_exactly(reference)):
        return 0.0
    parted = len(found.agreement.diverged) if found.agreement else 0
    return 0.0 if found.share_without_ties is None and parted < MANY else EXACT_AGREEMENT
