"""The ways of generating, on a CPU: the same tokens as eager, told exactly, and each proven to be in force."""

import collections
import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.sinks import Stamps
from support.transformers_models import NANO, PROMPTS, load, prepare, tokens

from infertui.config.engines.registry import SPECS
from infertui.config.engines.transformers import TransformersOptions
from infertui.config.schema import EngineConfig
from infertui.errors import ConfigError, EngineError
from infertui.targets.engine.base import Batch, GenerationPlan
from infertui.targets.engine.executed import executed
from infertui.targets.engine.transformers import compilation
from infertui.targets.engine.transformers.engine import TransformersEngine
from infertui.targets.engine.verify import check

torch = pytest.importorskip("torch", reason="torch is not installed: pip install infertui[transformers]")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")

LENGTH = 9


class Interrupted(BaseException):
    """What the worker raises from a sink when a run is cancelled."""


@pytest.fixture(scope="module")
def expected() -> list[list[int]]:
    return tokens(load()[0], LENGTH)


class _AsInductor(compilation.Compilation):
    @property
    def settings(self) -> dict[str, Any] | None:
        return {}


@pytest.fixture(scope="module")
def compiled() -> Iterator[TransformersEngine]:
    """PyTorch traces and guards as ever; only the code that inductor would write is left out, for it takes a minute."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(compilation._TUNINGS, "none", {"mode": "default", "backend": "aot_eager"})
        engine, _ = load(mode="compile")
    engine._way._compilation.__class__ = _AsInductor  # type: ignore[attr-defined]
    assert prepare(engine, PROMPTS, LENGTH) == ["compile"]
    yield engine
    engine.close()
    torch._dynamo.reset()


@pytest.fixture(scope="module")
def static() -> TransformersEngine:
    return load(mode="static")[0]


@pytest.fixture
def continuous() -> Iterator[TransformersEngine]:
    engine, _ = load(mode="continuous")
    yield engine
    engine.close()


@pytest.fixture(params=["eager", "static", "compile", "continuous"])
def engine(request: pytest.FixtureRequest) -> Any:
    fixture = {"compile": "compiled"}.get(request.param, request.param)
    return load()[0] if request.param == "eager" else request.getfixturevalue(fixture)


def interrupt_after(steps: int) -> Callable[[], None]:
    left = iter(range(steps))

    def then() -> None:
        if next(left, None) is None:
            raise Interrupted

    return then


def test_every_mode_gives_the_tokens_of_eager(engine: TransformersEngine, expected: list[list[int]]) -> None:
    prepare(engine, PROMPTS, LENGTH)
    assert tokens(engine, LENGTH) == expected


def test_every_token_is_told_once(engine: TransformersEngine) -> None:
    prepare(engine, PROMPTS, LENGTH)
    sink = Stamps()
    generated = engine.generate(Batch(PROMPTS, LENGTH), sink)
    assert list(generated.counts) == [LENGTH] * len(PROMPTS)
    if sink.sequences:
        told = [[count for _, count in sink.sequences[index]] for index in range(len(PROMPTS))]
    else:
        told = [sink.tokens] * len(PROMPTS)
    assert told == [[1] * LENGTH] * len(PROMPTS)


def test_an_interrupted_batch_leaves_the_model_as_it_was(engine: TransformersEngine, expected: list[list[int]]) -> None:
    prepare(engine, PROMPTS, LENGTH)
    before = {name for name, value in vars(engine._model).items() if callable(value)}
    with pytest.raises(Interrupted):
        engine.generate(Batch(PROMPTS, LENGTH), Stamps(then=interrupt_after(4)))
    assert {name for name, value in vars(engine._model).items() if callable(value)} == before
    assert tokens(engine, LENGTH) == expected


def test_the_mode_in_force_is_the_one_asked_for(engine: TransformersEngine, request: pytest.FixtureRequest) -> None:
    prepare(engine, PROMPTS, LENGTH)
    tokens(engine, LENGTH)
    found = engine.effective()
    assert found.settings["mode"] == request.node.callspec.params["engine"]
    assert executed(found.settings["mode"], found.compiled, found.graphs) == found.settings["mode"]
    assert found.settings["dtype"] == "float32"
    assert found.settings["attention"] == "sdpa"
    assert found.settings["quantization"] == "none"
    assert found.settings["tensor_parallel"] == "1"


@pytest.mark.parametrize("mode", ["eager", "static", "continuous"])
def test_before_the_first_batch_the_mode_is_unseen_and_not_another(mode: str) -> None:
    """As without warm-up: a run that asks for it must not fail before it began."""
    engine, _ = load(mode=mode)
    prepare(engine, PROMPTS, LENGTH)
    asked = EngineConfig(mode=mode, dtype="float32")
    check(asked, SPECS["transformers"], engine.effective(), seen=False)
    with pytest.raises(EngineError, match="does not say"):
        check(asked, SPECS["transformers"], engine.effective())
    tokens(engine, LENGTH)
    check(asked, SPECS["transformers"], engine.effective())
    assert engine.effective().unseen == ()
    engine.close()


@pytest.mark.parametrize(
    ("inductor", "autograd", "word"),
    [
        ({"fxgraph_cache_miss": 2}, {"autograd_cache_miss": 2}, "fresh"),
        ({"fxgraph_cache_hit": 2}, {"autograd_cache_hit": 2}, "cache"),
        ({}, {"autograd_cache_hit": 1}, "cache"),
        ({"fxgraph_cache_hit": 1}, {"autograd_cache_miss": 1}, "cache"),
        ({"fxgraph_cache_hit": 1, "fxgraph_cache_miss": 1}, {}, "both"),
        ({}, {}, "fresh"),
    ],
)
def test_code_that_inductor_wrote_before_is_told_from_what_it_writes_now(
    inductor: dict[str, int], autograd: dict[str, int], word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By PyTorch's own counters; with inductor itself the first of two starts takes a minute."""
    counters = collections.defaultdict(collections.Counter, inductor=collections.Counter(inductor))
    counters["aot_autograd"].update(autograd)
    monkeypatch.setattr(torch._dynamo.utils, "counters", counters)
    assert compilation.compiled_source() == word


def test_sampling_follows_its_seed_in_every_mode(engine: TransformersEngine) -> None:
    plan = GenerationPlan(len(PROMPTS), (7,), LENGTH, temperature=1.5)

    def sample(seed: int) -> list[list[int]]:
        return engine.generate(Batch(PROMPTS, LENGTH, temperature=1.5, seed=seed), Stamps()).read()

    engine.prepare(plan, lambda _getting: None)
    assert sample(1) == sample(1)
    assert sample(1) != sample(2)


def test_compiled_steps_are_counted_and_nothing_is_compiled_while_measuring(compiled: TransformersEngine) -> None:
    prepare(compiled, PROMPTS, LENGTH)
    before = compiled.effective()
    tokens(compiled, LENGTH)
    after = compiled.effective()
    assert after.counters["compiled_graphs"] == before.counters["compiled_graphs"] > 0
    assert after.counters["compiled_steps"] - before.counters["compiled_steps"] == LENGTH - 1
    assert after.facts["graph_breaks"] == "0"
    assert after.facts["cache"] == f"StaticCache, {7 + LENGTH} positions"


def test_another_width_of_the_plan_compiles_nothing_more(compiled: TransformersEngine) -> None:
    compiled.prepare(GenerationPlan(2, (3, 11), LENGTH), lambda _getting: None)
    before = compiled.effective().counters["compiled_graphs"]
    tokens(compiled, LENGTH, ((1, 2, 3), (4,)))
    tokens(compiled, LENGTH, (tuple(range(11)), (4,)))
    assert compiled.effective().counters["compiled_graphs"] == before


def test_compilation_that_was_skipped_is_called_static(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library says so in its log alone."""
    engine, _ = load(mode="compile")
    monkeypatch.setattr(type(engine._model), "_valid_auto_compile_criteria", lambda *_arguments: False)
    prepare(engine, PROMPTS, LENGTH)
    found = engine.effective()
    assert found.settings["mode"] == "static"
    assert "does not compile" in found.reasons["mode"]


def test_compilation_that_pytorch_leaves_out_is_called_static(monkeypatch: pytest.MonkeyPatch) -> None:
    """As TORCHDYNAMO_DISABLE=1 makes it do: the compiled function is the plain one."""
    engine, _ = load(mode="compile")
    monkeypatch.setattr(torch, "compile", lambda function, **_options: function)
    prepare(engine, PROMPTS, LENGTH)
    found = engine.effective()
    assert found.counters["compiled_steps"] > 0
    assert found.settings["mode"] == "static"
    assert "compiled nothing" in found.reasons["mode"]


def test_graphs_that_another_compiler_than_inductor_got_are_not_called_compiled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine, _ = load(mode="compile")
    compile_ = torch.compile
    monkeypatch.setattr(torch, "compile", lambda function, **_options: compile_(function, backend="eager"))
    prepare(engine, PROMPTS, LENGTH)
    found = engine.effective()
    assert found.counters["compiled_graphs"] > 0
    assert found.settings["mode"] == "static"
    assert "another than inductor" in found.reasons["mode"]


def test_a_library_that_compiles_unasked_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, _ = load(mode="static")
    monkeypatch.setattr(type(engine._model), "_valid_auto_compile_criteria", lambda *_arguments: True)
    monkeypatch.setattr(torch, "compile", lambda function, **_options: function)
    tokens(engine, LENGTH)
    assert engine.effective().settings["mode"] == "compile"


def test_attention_that_another_function_took_over_is_not_called_by_its_old_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
    from transformers.models.llama.modeling_llama import eager_attention_forward

    engine, _ = load(attention="sdpa")
    assert engine.effective().settings["attention"] == "sdpa"
    monkeypatch.setitem(ALL_ATTENTION_FUNCTIONS, "sdpa", eager_attention_forward)
    assert "eager_attention_forward in place of sdpa" in engine.effective().settings["attention"]


def test_lower_precision_of_products_is_told_with_the_dtype(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, _ = load()
    monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: "high")  # as TF32 in force by the environment
    assert engine.effective().settings["dtype"] == "float32 with products in high precision"
    monkeypatch.undo()
    with torch.autocast("cpu", torch.bfloat16):
        assert engine.effective().settings["dtype"] == "float32 with autocast to bfloat16"
    assert engine.effective().settings["dtype"] == "float32"


@pytest.mark.parametrize(
    ("mode", "options", "field"),
    [
        ("eager", {"tuning": "max-autotune"}, "tuning"),
        ("cudagraph", {"tuning": "max-autotune"}, "tuning"),
        ("static", {"graph_step": "fused"}, "graph_step"),
        ("compile", {"graph_step": "compiled"}, "graph_step"),
    ],
)
def test_options_that_a_mode_does_not_heed_are_refused(mode: str, options: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError, match=f"engine.transformers.{field}: .*{mode}"):
        load(mode=mode, transformers=TransformersOptions(**options))


@pytest.mark.parametrize(
    ("tuning", "tuned"), [("coordinate-descent", "coordinate-descent"), ("max-autotune", "max-autotune")]
)
def test_tuning_reaches_the_compiler(tuning: str, tuned: str) -> None:
    """Read off the compiled function; compiling as such is left out, for it takes long."""
    engine, _ = load(mode="compile", tuning=tuning)
    with torch._dynamo.config.patch(disable=True):
        prepare(engine, PROMPTS, LENGTH)
    assert engine.effective().facts["tuning"] == tuned


def test_a_failing_compiler_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, _ = load(mode="compile")

    def compile_nothing(function: Any, **_options: Any) -> Any:
        def broken(*_arguments: Any, **_more: Any) -> Any:
            raise torch._dynamo.exc.Unsupported("no \x1b[31mcompiler")

        return broken

    monkeypatch.setattr(torch, "compile", compile_nothing)
    with pytest.raises(EngineError, match="no compiler"):
        prepare(engine, PROMPTS, LENGTH)


def test_a_static_cache_is_as_long_as_this_plan_needs(static: TransformersEngine) -> None:
    """The library would keep the longest it ever made."""
    prepare(static, (tuple(range(40)),), 20)
    tokens(static, 20, (tuple(range(40)),))
    assert static.effective().facts["cache"] == "StaticCache, 60 positions"
    prepare(static, ((1, 2, 3),), 5)
    tokens(static, 5, ((1, 2, 3),))
    assert static.effective().facts["cache"] == "StaticCache, 8 positions"


def test_a_cache_that_is_not_static_is_called_eager(
    static: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(static._model), "_prepare_static_cache", lambda *_, **__: transformers.DynamicCache())
    tokens(static, LENGTH)
    assert static.effective().settings["mode"] == "eager"


def test_continuous_batching_reserves_what_the_plan_needs(continuous: TransformersEngine) -> None:
    prepare(continuous, PROMPTS, LENGTH)
    tokens(continuous, LENGTH)
    found = continuous.effective()
    assert found.facts["cache"] == "PagedAttentionCache"
    assert found.facts["page_tokens"] == "256"
    assert found.facts["pages"] == "3"
    assert found.facts["prefix_sharing"] == "off"
    assert found.facts["cuda_graphs"] == "no"
    assert found.counters["scheduler_steps"] >= LENGTH


def test_continuous_batching_keeps_its_thread_until_it_is_released(continuous: TransformersEngine) -> None:
    before = set(threading.enumerate())
    prepare(continuous, PROMPTS, LENGTH)
    (thread,) = set(threading.enumerate()) - before
    tokens(continuous, LENGTH)
    tokens(continuous, LENGTH)
    assert thread.is_alive()
    continuous.release_memory()
    assert not thread.is_alive()
    assert tokens(continuous, LENGTH) == tokens(load()[0], LENGTH)


def test_continuous_batching_whose_thread_dies_says_why(
    continuous: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(continuous, PROMPTS, LENGTH)

    def fail(*_arguments: Any, **_options: Any) -> None:
        raise ValueError("the pages are \x1b[1mgone")

    monkeypatch.setattr(type(continuous._model), "forward", fail)
    with pytest.raises(EngineError, match="the pages are gone"):
        tokens(continuous, LENGTH)


def test_eager_attention_goes_with_continuous_batching() -> None:
    engine, loaded = load(mode="continuous", attention="eager")
    try:
        assert loaded.attention == "eager"
        assert tokens(engine, LENGTH) == tokens(load(attention="eager")[0], LENGTH)
        assert engine.effective().settings["attention"] == "eager"
    finally:
        engine.close()


def test_memory_of_a_continuous_batch_is_given_back(continuous: TransformersEngine) -> None:
    prepare(continuous, PROMPTS, LENGTH)
    tokens(continuous, LENGTH)
    cache = continuous._way._manager.batch_processor.cache  # type: ignore[attr-defined]
    gone = weakref.ref(cache)
    del cache
    continuous.release_memory()
    gc.collect()
    assert gone() is None


def test_a_loop_that_would_not_wait_for_its_tokens_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers.generation import utils

    from infertui.targets.engine.transformers.generate import check_steps_can_be_timed

    check_steps_can_be_timed(torch.device("cuda", 0))
    monkeypatch.setattr(utils.DeferredStopCheck, "is_supported", staticmethod(lambda *_, **__: True))
    with pytest.raises(EngineError, match="cannot be timed"):
        check_steps_can_be_timed(torch.device("cuda", 0))


def test_steps_that_were_not_seen_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, _ = load(NANO)
    monkeypatch.setattr(type(engine._model), "_has_unfinished_sequences", lambda *_, **__: True)
    original = type(engine._model)._sample

    def unseen(self: Any, *arguments: Any, **options: Any) -> Any:
        self.__dict__.pop("_has_unfinished_sequences", None)
        monkeypatch.undo()
        return original(self, *arguments, **options)

    monkeypatch.setattr(type(engine._model), "_sample", unseen)
    with pytest.raises(EngineError, match="cannot be timed"):
        tokens(engine, LENGTH)
