"""Speculation of the Transformers engine: the same tokens as without, several a step, and counted."""

from pathlib import Path
from typing import Any

import pytest
from support.sinks import Stamps
from support.transformers_models import NANO, load, save_llama, tokens

from infertui.errors import ConfigError
from infertui.targets.engine.base import Batch, GenerationPlan
from infertui.targets.engine.transformers.engine import TransformersEngine

pytest.importorskip("torch", reason="torch is not installed: pip install infertui[transformers]")
pytest.importorskip("transformers", reason="transformers is not installed")

PROMPT = (5, 17, 90, 3, 5, 17, 90)
LENGTH = 40


class Interrupted(BaseException):
    """What the worker raises from a sink when a run is cancelled."""


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_llama(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module")
def another(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_llama(tmp_path_factory.mktemp("draft"), seed=2, layers=1)


@pytest.fixture(scope="module")
def expected(saved: Path) -> list[list[int]]:
    return tokens(load(str(saved))[0], LENGTH, (PROMPT,))


def speculate(engine: TransformersEngine) -> tuple[list[list[int]], list[int]]:
    sink = Stamps()
    generated = engine.generate(Batch((PROMPT,), LENGTH), sink)
    assert list(generated.counts) == [LENGTH]
    return generated.read(), sink.tokens


def test_prompt_lookup_gives_the_same_tokens_in_fewer_steps(saved: Path, expected: list[list[int]]) -> None:
    engine, _ = load(str(saved), speculation="prompt-lookup")
    assert "speculation" in engine.effective().unseen
    produced, steps = speculate(engine)
    assert produced == expected
    found = engine.effective()
    assert found.settings["speculation"] == "prompt-lookup"
    assert found.settings["mode"] == "eager"
    assert sum(steps) == LENGTH
    assert found.counters["forwards"] == len(steps) < LENGTH
    assert found.counters["accepted_tokens"] == LENGTH - len(steps) > 0
    assert found.counters["drafted_tokens"] >= found.counters["accepted_tokens"]


def test_the_model_as_its_own_draft_is_accepted_whole(saved: Path, expected: list[list[int]]) -> None:
    engine, _ = load(str(saved), speculation="draft-model", draft_model=str(saved), draft_tokens=4)
    produced, steps = speculate(engine)
    assert produced == expected
    assert steps == [5] * (LENGTH // 5)
    found = engine.effective()
    assert found.settings["speculation"] == "draft-model"
    # The last draft is cut to what is still wanted, which leaves room for the model's own token.
    assert found.counters["drafted_tokens"] == found.counters["accepted_tokens"] == 4 * len(steps)


def test_the_pads_id_in_a_prompt_is_seen_by_the_draft(saved: Path) -> None:
    """Chat templates hold it: with it masked for the draft alone, the model would not accept all of its own drafts."""
    engine, _ = load(str(saved), speculation="draft-model", draft_model=str(saved), draft_tokens=4)
    pad = engine._pad_id
    for prompt in ((pad, 17, 90, pad, 5, 17, pad), (5, pad, pad, 3)):
        plain = tokens(load(str(saved))[0], LENGTH, (prompt,))
        before = engine.effective().counters
        generated = engine.generate(Batch((prompt,), LENGTH), Stamps())
        assert generated.read() == plain
        after = engine.effective().counters
        drafted, accepted = (after[name] - before.get(name, 0) for name in ("drafted_tokens", "accepted_tokens"))
        assert drafted == accepted == 4 * LENGTH // 5


def test_another_draft_changes_the_speed_and_not_the_tokens(
    saved: Path, another: Path, expected: list[list[int]]
) -> None:
    engine, _ = load(str(saved), speculation="draft-model", draft_model=str(another), draft_tokens=4)
    produced, steps = speculate(engine)
    assert produced == expected
    counters = engine.effective().counters
    assert counters["drafted_tokens"] > counters["accepted_tokens"]
    assert counters["accepted_tokens"] == LENGTH - len(steps)
    speculate(engine)
    assert engine.effective().counters["forwards"] == 2 * len(steps)


def test_the_number_of_drafted_tokens_is_the_one_asked_for(saved: Path) -> None:
    def most(**settings: Any) -> int:
        engine, _ = load(str(saved), speculation="prompt-lookup", **settings)
        return max(speculate(engine)[1])

    assert most(draft_tokens=2) == 3
    assert most() > 3


def test_an_interrupted_batch_leaves_both_models_usable(saved: Path, expected: list[list[int]]) -> None:
    engine, _ = load(str(saved), speculation="draft-model", draft_model=str(saved), draft_tokens=2)
    before = set(vars(engine._model))

    def interrupt() -> None:
        raise Interrupted

    with pytest.raises(Interrupted):
        engine.generate(Batch((PROMPT,), LENGTH), Stamps(then=interrupt))
    assert set(vars(engine._model)) == before
    assert speculate(engine)[0] == expected


def test_sampling_goes_with_speculation(saved: Path) -> None:
    engine, _ = load(str(saved), speculation="prompt-lookup")

    def sample(seed: int) -> list[list[int]]:
        return engine.generate(Batch((PROMPT,), LENGTH, temperature=1.5, seed=seed), Stamps()).read()

    assert sample(1) == sample(1)
    assert sample(1) != sample(2)


def test_a_batch_of_several_is_refused(saved: Path) -> None:
    engine, _ = load(str(saved), speculation="prompt-lookup")
    with pytest.raises(ConfigError, match=r"workload\.batch_size"):
        engine.prepare(GenerationPlan(2, (4,), 8), lambda _getting: None)
    with pytest.raises(ConfigError, match=r"workload\.batch_size"):
        tokens(engine, 8, (PROMPT, PROMPT))


def test_random_weights_are_refused(saved: Path) -> None:
    with pytest.raises(ConfigError, match="means nothing"):
        load(NANO, speculation="prompt-lookup")
    with pytest.raises(ConfigError, match="means nothing"):
        load(str(saved), speculation="draft-model", draft_model=NANO)


def test_a_draft_with_another_vocabulary_is_refused(saved: Path, tmp_path: Path) -> None:
    other = save_llama(tmp_path / "other", vocabulary=500)
    with pytest.raises(ConfigError, match=r"500 tokens, the model's 400"):
        load(str(saved), speculation="draft-model", draft_model=str(other))


def test_a_missing_draft_model_is_named(saved: Path) -> None:
    with pytest.raises(ConfigError, match=r"engine\.draft_model"):
        load(str(saved), speculation="draft-model")


@pytest.mark.parametrize("mode", ["static", "compile", "continuous"])
def test_other_modes_do_not_go_with_it(saved: Path, mode: str) -> None:
    with pytest.raises(ConfigError, match=f"engine.mode = {mode}"):
        load(str(saved), speculation="prompt-lookup", mode=mode)


def test_without_speculation_none_is_in_force(saved: Path) -> None:
    engine, _ = load(str(saved))
    tokens(engine, 8, (PROMPT,))
    assert engine.effective().settings["speculation"] == "none"
