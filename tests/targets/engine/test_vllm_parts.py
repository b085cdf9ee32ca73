"""What vLLM is asked for and what its answers mean, without vLLM: against the recorded surface of two versions."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from infertui.config.engines.vllm import SPEC, EngineCore, VllmOptions
from infertui.config.schema import DeviceConfig, EngineConfig, ModelConfig
from infertui.errors import EngineError
from infertui.models.resolve import resolve
from infertui.targets.engine.base import Capacity, EffectiveSettings, LoadRequest, probe
from infertui.targets.engine.executed import executed
from infertui.targets.engine.verify import check
from infertui.targets.engine.vllm import inspection
from infertui.targets.engine.vllm.arguments import (
    Argument,
    accept,
    check_quantization,
    engine_arguments,
    kv_pool_bytes,
    variables,
)

_RECORD = json.loads((Path(__file__).parent / "recorded" / "vllm_engine_args.json").read_text(encoding="utf-8"))
VERSIONS = {
    version: {*_RECORD["common_arguments"], *record["arguments"]} for version, record in _RECORD["versions"].items()
}
TINY = "synthetic:tinyllama-1.1b"
EVERYTHING: dict[str, Any] = {
    "dtype": "bfloat16", "mode": "eager", "quantization": "fp8", "speculation": "prompt-lookup", "tensor_parallel": 2,
    "vllm": VllmOptions(kv_cache_mib=64, kv_cache_dtype="fp8", max_num_batched_tokens=512),
}  # fmt: skip


WORKLOAD = Capacity(sequences=8, prompt_tokens=100, output_tokens=156)


def request(*, model: str = TINY, capacity: Capacity | None = WORKLOAD, **settings: Any) -> LoadRequest:
    return LoadRequest(
        ModelConfig(id=model), EngineConfig(name="vllm", **settings), DeviceConfig(name="cpu"), capacity=capacity
    )


def arguments(asked: LoadRequest, draft: str = "") -> list[Argument]:
    drafting = resolve(draft) if draft else None
    return engine_arguments(asked, resolve(asked.model.id), Path("/m"), "bfloat16", drafting, Path("/d"))


@pytest.mark.parametrize("version", VERSIONS)
def test_every_option_is_an_argument_of_the_version(version: str) -> None:
    taken = accept(arguments(request(**EVERYTHING)), VERSIONS[version], version)
    assert taken["enforce_eager"] is True
    assert taken["tensor_parallel_size"] == 2
    assert taken["kv_cache_memory_bytes"] == 64 << 20
    assert taken["kv_cache_dtype"] == "fp8"
    assert taken["max_num_batched_tokens"] == 512
    assert taken["enable_prefix_caching"] is False
    assert taken["load_format"] == "dummy"
    assert taken["speculative_config"]["method"] == "ngram"
    assert not {"max_num_seqs", "max_model_len"} & set(taken), "the library's own, as LLM has them"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", ["fp8", "torchao", "int8_per_channel_weight_only"])
def test_the_words_for_quantization_are_known_to_the_version(version: str, name: str) -> None:
    check_quantization(name, _RECORD["versions"][version]["quantization"], version)


def test_an_unknown_quantization_names_version_and_remedy() -> None:
    with pytest.raises(EngineError, match=r"vLLM 0\.20\.0 has no quantization 'fp8'") as caught:
        check_quantization("fp8", ["awq"], "0.20.0")
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("missing", "option"),
    [
        ("speculative_config", "engine.speculation"),
        ("quantization", "engine.quantization"),
        ("tensor_parallel_size", "engine.tensor_parallel"),
        ("kv_cache_memory_bytes", "engine.vllm.kv_cache_mib"),
        ("kv_cache_dtype", "engine.vllm.kv_cache_dtype"),
        ("max_num_batched_tokens", "engine.vllm.max_num_batched_tokens"),
        ("enforce_eager", "engine.mode"),
        ("worker_extension_cls", "proof"),
        ("enable_prefix_caching", "computed every time"),
    ],
)
def test_an_argument_that_the_version_lacks_fails_naming_the_option(missing: str, option: str) -> None:
    with pytest.raises(EngineError) as caught:
        accept(arguments(request(**EVERYTHING)), VERSIONS["0.33.0"] - {missing}, "9.9.9")
    assert f"vLLM 9.9.9 has no argument {missing}" in caught.value.message
    assert option in caught.value.message
    assert caught.value.remedy


def test_an_argument_that_nothing_needs_is_left_out() -> None:
    taken = accept(arguments(request()), VERSIONS["0.33.0"] - {"generation_config"}, "9.9.9")
    assert "generation_config" not in taken


def test_options_at_their_defaults_are_not_passed() -> None:
    names = {argument.name for argument in arguments(request())}
    assert not names & {"quantization", "speculative_config", "tensor_parallel_size", "kv_cache_dtype", "hf_overrides"}


def test_int8_of_a_mixture_of_experts_is_the_librarys_own(tmp_path: Path) -> None:
    config = dict(resolve(TINY).config, model_type="mixtral", num_local_experts=8, num_experts_per_tok=2)
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    asked = arguments(request(model=f"synthetic:{tmp_path}", quantization="int8"))
    assert [a.value for a in asked if a.name == "quantization"] == ["int8_per_channel_weight_only"]


def test_a_draft_model_is_named_by_its_folder() -> None:
    asked = arguments(request(speculation="draft-model", draft_model=TINY, draft_tokens=7), draft=TINY)
    (speculative,) = [argument.value for argument in asked if argument.name == "speculative_config"]
    assert speculative == {"method": "draft_model", "model": "/d", "num_speculative_tokens": 7}


def test_without_a_workload_there_is_nothing_to_size_the_pool_by() -> None:
    with pytest.raises(EngineError, match="for which workload"):
        arguments(request(capacity=None))


# TinyLlama: 22 layers, 4 KV heads of 64 numbers, a key and a value.
_POSITION = 2 * 22 * 4 * 64


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, _POSITION * 2 * (8 * 2 + 2) * 128),
        ({"vllm": VllmOptions(kv_cache_dtype="fp8")}, _POSITION * (8 * 2 + 2) * 128),
        ({"tensor_parallel": 2}, _POSITION * (8 * 2 + 2) * 128),
        ({"tensor_parallel": 8}, _POSITION // 4 * 2 * (8 * 2 + 2) * 128),
        ({"speculation": "prompt-lookup", "draft_tokens": 1}, _POSITION * 2 * (8 * 3 + 2) * 128),
        ({"vllm": VllmOptions(kv_cache_mib=3)}, 3 << 20),
    ],
)
def test_the_pool_is_what_the_workload_fills_in_whole_pages(settings: dict[str, Any], expected: int) -> None:
    assert kv_pool_bytes(request(**settings), resolve(TINY), None, "bfloat16") == expected


def test_the_pool_has_room_for_one_sequence_of_the_longest_that_the_library_takes() -> None:
    """8 sequences fill 2 pages each; of 2048 positions one fills 16, and of 4096 one fills 32."""
    source = resolve(TINY)
    pools = [kv_pool_bytes(request(), source, None, "bfloat16", longest) for longest in (0, 256, 2048, 4096)]
    assert pools == [_POSITION * 2 * (pages + 2) * 128 for pages in (16, 16, 16, 32)]


def test_a_model_that_drafts_has_a_cache_of_its_own() -> None:
    asked = request(speculation="draft-model", draft_model="synthetic:nano")
    with_draft = kv_pool_bytes(asked, resolve(TINY), resolve("synthetic:nano"), "bfloat16")
    alone = kv_pool_bytes(asked, resolve(TINY), None, "bfloat16")
    assert with_draft - alone == 2 * 4 * 4 * 32 * 2 * (8 * 3 + 2) * 128


def surroundings(
    current: Mapping[str, str] | None = None,
    *,
    core: EngineCore = "in-process",
    threads: int = 0,
    tensor_parallel: int = 1,
    device: str = "auto",
) -> dict[str, str | None]:
    return variables(
        current or {}, core=core, threads=threads, processors=8, tensor_parallel=tensor_parallel, device=device
    )


def test_nothing_is_reported_home_and_nothing_overrules_the_pool() -> None:
    wanted = surroundings({"VLLM_CPU_KVCACHE_SPACE": "40"})
    assert wanted["VLLM_NO_USAGE_STATS"] == wanted["DO_NOT_TRACK"] == "1"
    assert wanted["VLLM_CPU_KVCACHE_SPACE"] is None
    assert wanted["HF_HUB_OFFLINE"] == "1"


def test_what_the_user_says_of_the_hub_stays() -> None:
    assert "HF_HUB_OFFLINE" not in surroundings({"HF_HUB_OFFLINE": "0"})


def test_where_the_core_runs_is_said_before_the_import() -> None:
    assert surroundings()["VLLM_ENABLE_V1_MULTIPROCESSING"] == "0"
    assert surroundings(core="process")["VLLM_ENABLE_V1_MULTIPROCESSING"] == "1"


def test_threads_are_counted_and_not_pinned() -> None:
    assert "OMP_NUM_THREADS" not in surroundings()
    assert surroundings(threads=3)["OMP_NUM_THREADS"] == "3"
    assert surroundings(threads=3)["VLLM_CPU_OMP_THREADS_BIND"] == "nobind"
    assert surroundings(tensor_parallel=2)["OMP_NUM_THREADS"] == "4"


@pytest.mark.parametrize(
    ("device", "visible", "ranks", "expected"),
    [
        ("cuda:0", "", 1, None),
        ("cuda", "4,5", 2, None),
        ("cuda:2", "", 1, "2"),
        ("cuda:1", "4,5,6", 2, "5,6"),
        ("cuda:1", "GPU-a, GPU-b", 1, "GPU-b"),
    ],
)
def test_the_gpu_that_was_named_becomes_the_first(device: str, visible: str, ranks: int, expected: str | None) -> None:
    wanted = surroundings({"CUDA_VISIBLE_DEVICES": visible}, tensor_parallel=ranks, device=device)
    assert wanted.get("CUDA_VISIBLE_DEVICES") == expected


def test_a_gpu_beyond_those_visible_is_refused() -> None:
    with pytest.raises(EngineError, match="only 2 GPU"):
        surroundings({"CUDA_VISIBLE_DEVICES": "0,1"}, device="cuda:2")


LOOK: dict[str, Any] = {
    "formats": {"bfloat16": 100, "float32": 10}, "parameters": 55, "linear_layers": 4, "packed": 0, "quantized": {},
    "quantization_methods": [], "attention": ["FLASH_ATTN"], "kv_bytes": 8 << 20, "kv_formats": ["bfloat16"],
    "kv_asked": 8 << 20, "kv_blocks": 4, "batched_tokens": 2048, "compilable": 1, "compiled": 1,
    "compile_backend": "inductor", "compile_mode": "VLLM_COMPILE", "cudagraph_mode": "FULL_AND_PIECEWISE",
    "cudagraphs": 7, "graph_replays": 40, "compile_seconds": 1.5, "compiled_read": 0, "pieces_read": 0,
    "pieces_compiled": 3, "device": "cuda:0", "device_name": "G",
    "device_uuid": "GPU-1", "model_class": "M", "runner": "r.R", "drafter": "", "tensor_parallel": 1, "threads": 1,
}  # fmt: skip


EAGER = {"compiled": 0, "compile_mode": "NONE", "cudagraphs": 0, "graph_replays": 0}


OWN = {"engine_core": "process", "sizes": "library", "detokenize": "true", "own_metrics": "false"}


def found(*looks: dict[str, Any], **asked: Any) -> EffectiveSettings:
    config = EngineConfig(name="vllm", **asked)
    every = [{**LOOK, **look} for look in looks]
    return inspection.effective(every, [], {}, asked=config, cached_tokens=0, own=OWN)


def test_reasons_are_given_for_what_was_asked_for_and_is_not_there() -> None:
    look = {**EAGER}
    assert found(look, mode="eager").reasons == {}
    assert "mode NONE" in found(look, mode="compile").reasons["mode"]
    assert "none of the 4 linear layers" in found({}, quantization="int8").reasons["quantization"]


@pytest.mark.parametrize(
    ("option", "word", "look"),
    [
        ("mode", "compile", {"compiled": 0}),
        ("mode", "eager", {"compiled": 0}),  # graphs were captured all the same
        ("mode", "eager", {"compiled_read": 1}),
        ("mode", "compile", {"compile_backend": "eager"}),
        ("quantization", "int8", {"quantized": {"float8_e4m3fn": 4}}),
        ("quantization", "fp8", {"quantized": {"int8": 2, "float8_e4m3fn": 2}, "quantization_methods": ["A", "B"]}),
        ("quantization", "int8", {}),
        ("speculation", "prompt-lookup", {"drafter": "DraftModelProposer"}),
        ("speculation", "draft-model", {}),
        ("tensor_parallel", 2, {}),
        ("vllm", VllmOptions(kv_cache_mib=16), {}),
        ("vllm", VllmOptions(kv_cache_dtype="fp8"), {}),
        ("vllm", VllmOptions(max_num_batched_tokens=4096), {}),
        ("vllm", VllmOptions(engine_core="in-process"), {}),
        ("vllm", VllmOptions(sizes="workload"), {}),
        ("vllm", VllmOptions(detokenize=False), {}),
        ("vllm", VllmOptions(own_metrics=True), {}),
    ],
)
def test_what_is_not_in_force_is_not_claimed(option: str, word: Any, look: dict[str, Any]) -> None:
    with pytest.raises(EngineError, match="in force"):
        check(EngineConfig(name="vllm", **{option: word}), SPEC, found(look))


@pytest.mark.parametrize(
    ("option", "word", "look"),
    [
        ("mode", "compile", {}),
        ("mode", "compile", {"compiled_read": 1, "pieces_read": 3, "pieces_compiled": 0}),
        ("mode", "eager", EAGER),
        ("quantization", "int8", {"quantized": {"int8": 4}}),
        ("quantization", "fp8", {"quantized": {"float8_e4m3fn": 4}}),
        ("speculation", "prompt-lookup", {"drafter": "NgramProposerGPU"}),
        ("speculation", "draft-model", {"drafter": "DraftModelProposer"}),
        ("vllm", VllmOptions(kv_cache_mib=9), {"kv_asked": 9 << 20}),
        ("vllm", VllmOptions(kv_cache_dtype="fp8"), {"kv_formats": ["uint8"]}),
        ("vllm", VllmOptions(max_num_batched_tokens=2048), {}),
    ],
)
def test_what_is_in_force_is_said(option: str, word: Any, look: dict[str, Any]) -> None:
    check(EngineConfig(name="vllm", **{option: word}), SPEC, found(look))


@pytest.mark.parametrize(
    ("look", "facts", "word"),
    [
        ({}, ("fresh", "replayed"), "compile+graphs"),
        ({"compiled_read": 1, "pieces_read": 3, "pieces_compiled": 0}, ("cache", "replayed"), "compile+graphs"),
        ({"compilable": 2, "compiled": 2, "compiled_read": 1}, ("both", "replayed"), "compile+graphs"),
        # The parts are compiled now, of pieces that were read; like layers read each other's while they are compiled.
        ({"pieces_read": 4, "pieces_compiled": 0}, ("cache", "replayed"), "compile+graphs"),
        ({"pieces_read": 4, "pieces_compiled": 2}, ("fresh", "replayed"), "compile+graphs"),
        ({"cudagraphs": 0, "graph_replays": 0}, ("fresh", "no"), "compile"),
        ({"graph_replays": 0}, ("fresh", "captured"), "compile"),
        ({"graph_replays": None}, ("fresh", "captured"), "compile"),
        ({"compiled": 0}, ("no", "replayed"), "graphs"),
        ({"compile_backend": "eager"}, ("no", "replayed"), "graphs"),
        ({"compiled": 0, "cudagraphs": 0, "graph_replays": 0}, ("no", "no"), "eager"),
    ],
)
def test_compiling_and_graphs_are_facts_apart(look: dict[str, Any], facts: tuple[str, str], word: str) -> None:
    inspection = found(look)
    assert (inspection.compiled, inspection.graphs) == facts
    assert executed(inspection.settings["mode"], *facts) == word


def test_ranks_of_which_one_read_the_cache_have_some_of_each() -> None:
    assert found({"compiled_read": 1}, {}).compiled == "both"


def test_a_cache_is_named_beside_the_parts_that_came_from_it() -> None:
    assert "read" not in found({}).facts["compiled"]
    assert found({"compiled_read": 1}).facts["compiled"].endswith("read from the cache")


def test_ranks_that_differ_are_in_force_as_neither() -> None:
    inspection = found({"quantized": {"int8": 4}}, {})
    assert inspection.settings["quantization"] == "int8/none"
    assert inspection.settings["tensor_parallel"] == "2"


def test_the_librarys_own_times_are_sums_in_microseconds() -> None:
    metrics = [
        SimpleNamespace(name="vllm:time_to_first_token_seconds", sum=0.0125, count=4),
        SimpleNamespace(name="vllm:e2e_request_latency_seconds", sum=1.5, count=4),
        SimpleNamespace(name="vllm:spec_decode_num_draft_tokens", value=20),
        SimpleNamespace(name="vllm:spec_decode_num_accepted_tokens", value=12),
        SimpleNamespace(name="vllm:kv_cache_usage_perc", value=0.5),
    ]
    assert inspection.counters(metrics) == {
        "own_ttft_us": 12500, "own_e2e_us": 1_500_000, "own_requests": 4, "drafted_tokens": 20, "accepted_tokens": 12,
    }  # fmt: skip


def test_the_dtype_is_that_of_the_weights_that_are_not_quantized() -> None:
    assert inspection.weights_dtype({"formats": {"int8": 900, "bfloat16": 100, "float32": 20}}) == "bfloat16"
    assert inspection.weights_dtype({"formats": {"int8": 900}}) == "none"


def test_the_probe_names_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    from infertui.targets.engine.vllm import arguments as probing

    monkeypatch.setattr(probing, "find_spec", lambda name: None if name == "vllm" else object())
    answer = probe("vllm")
    assert not answer.available
    assert answer.reason == "vllm not installed"
    assert answer.remedy


def test_a_folder_named_vllm_is_not_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    from infertui.targets.engine.vllm import arguments as probing

    monkeypatch.setattr(probing, "find_spec", lambda name: object())
    monkeypatch.setattr(probing, "installed_versions", lambda: {"torch": "2", "transformers": "5"})
    assert "not the package" in probe("vllm").reason
    monkeypatch.setattr(
        probing, "installed_versions", lambda: {"vllm-cpu": "0.32.0", "torch": "2", "transformers": "5"}
    )
    assert probe("vllm").available
