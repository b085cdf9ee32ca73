"""Options of [engine] against what each engine says it takes."""

from typing import Any

import pytest

from infertui.config.engine_options import COMMON_OPTIONS, applies, own_default, path_of, takes, words
from infertui.config.engines.registry import SPECS
from infertui.config.engines.vetting import RESERVED
from infertui.config.fields import FIELDS
from infertui.config.parse import decode
from infertui.config.schema import CommonEngineOptions
from infertui.config.sweep import expand
from infertui.errors import ConfigError


def refused(tree: dict[str, Any]) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        expand(decode(tree, "file x.toml"))
    return caught.value


def test_an_option_that_the_engine_does_not_take_has_to_stay_at_its_default() -> None:
    error = refused({"engine": {"name": "llama-cpp", "mode": "eager"}})
    assert error.path == "engine.mode"
    assert 'llama-cpp takes no engine.mode, and it is "eager"' in str(error)
    assert '"auto"' in error.allowed
    assert "vllm" in error.remedy
    assert "file x.toml" in str(error)
    assert decode({"engine": {"name": "llama-cpp", "mode": "auto"}}).engine.mode == "auto"
    assert "takes no engine.tensor_parallel, and it is 2" in str(
        refused({"engine": {"name": "simulator", "tensor_parallel": 2}})
    )


def test_a_word_outside_the_engine_s_list_is_refused_with_the_list() -> None:
    error = refused({"engine": {"name": "vllm", "mode": "cudagraph"}})
    assert 'vllm does not take "cudagraph"' in str(error)
    assert "one of auto, compile, eager" in error.allowed
    near = refused({"engine": {"name": "tensorrt-llm", "attention": "sdpa"}})
    assert "takes no engine.attention" in str(near)
    drafted = refused({"engine": {"name": "vllm", "speculation": "eagle"}})
    assert "one of none, prompt-lookup, draft-model" in drafted.allowed


@pytest.mark.parametrize("name", SPECS)
def test_every_word_that_an_engine_names_is_taken_and_every_other_refused(name: str) -> None:
    spec = SPECS[name]
    for option in COMMON_OPTIONS:
        key = path_of(option)
        for word in FIELDS[key].choices:
            drafting = {"draft_model": "synthetic:nano"} if word == "draft-model" else {}
            tree = {"engine": {"name": name, option: word, **drafting}}
            allowed = words(spec, option)
            if allowed is None or word in allowed:
                assert takes(spec, key, word)
                assert getattr(decode(tree).engine, option) == word
            else:
                assert not takes(spec, key, word)
                assert refused(tree).path == key


def test_what_auto_comes_to() -> None:
    assert own_default(SPECS["vllm"], "mode") == "compile"
    assert own_default(SPECS["transformers"], "mode") == "eager"
    assert own_default(SPECS["transformers"], "attention") == "auto"
    assert applies(SPECS["vllm"], "engine.vllm.kv_cache_mib")
    assert not applies(SPECS["vllm"], "engine.simulator.ttft_ms")
    assert applies(SPECS["vllm"], "workload.batch_size")
    assert not applies(SPECS["llama-cpp"], "engine.draft_model")


@pytest.mark.parametrize(
    ("engine", "key"),
    [
        ({"draft_model": "synthetic:nano"}, "engine.draft_model"),
        ({"draft_tokens": 4}, "engine.draft_tokens"),
        ({"speculation": "draft-model"}, "engine.draft_model"),
        ({"speculation": "prompt-lookup", "draft_model": "synthetic:nano"}, "engine.draft_model"),
    ],
)
def test_drafting_needs_speculation_and_a_model_where_one_drafts(engine: dict[str, object], key: str) -> None:
    assert refused({"engine": engine}).path == key


def test_drafting_as_it_should_be() -> None:
    engine = {"speculation": "draft-model", "draft_model": "synthetic:nano", "draft_tokens": 4}
    assert decode({"engine": engine}).engine.draft_tokens == 4
    assert decode({"engine": {"speculation": "prompt-lookup", "draft_tokens": 4}}).engine.draft_tokens == 4


def test_a_sweep_over_engines_is_checked_variant_by_variant() -> None:
    together = {"engine.name": ["transformers", "llama-cpp"], "engine.mode": ["cudagraph", "auto"]}
    assert len(expand(decode({"sweep": {"zip": together}}))) == 2
    error = refused({"sweep": {"grid": together}})
    assert "the sweep at engine=llama-cpp mode=cudagraph" in error.source
    error = refused({"engine": {"mode": "cudagraph"}, "sweep": {"grid": {"engine.name": ["transformers", "vllm"]}}})
    assert "the sweep at engine=vllm" in error.source


def test_an_axis_over_an_option_of_an_engine_that_no_variant_runs_is_refused() -> None:
    axis = {"engine.llama_cpp.n_gpu_layers": [0, 10]}
    error = refused({"sweep": {"grid": axis}})
    assert "no variant of the sweep runs llama-cpp" in str(error)
    assert 'engine.name = "llama-cpp"' in error.remedy
    assert len(expand(decode({"engine": {"name": "llama-cpp"}, "sweep": {"grid": axis}}))) == 2
    both = {"sweep": {"zip": {"engine.name": ["vllm", "llama-cpp"], "engine.llama_cpp.n_gpu_layers": [0, 10]}}}
    assert len(expand(decode(both))) == 2


def test_tables_of_other_engines_are_kept_and_do_no_harm() -> None:
    config = decode({"engine": {"vllm": {"kv_cache_mib": 64}, "llama_cpp": {"n_gpu_layers": 3}}})
    assert (config.engine.vllm.kv_cache_mib, config.engine.llama_cpp.n_gpu_layers) == (64, 3)


def test_no_engine_s_table_can_be_called_as_a_key_beside_it() -> None:
    assert {*CommonEngineOptions.__struct_fields__, "options"} == RESERVED
    assert not {spec.table for spec in SPECS.values()} & RESERVED
