import json
from typing import Any

import pytest
from msgspec.structs import replace

from infertui import paths
from infertui.errors import ConfigError, DoesNotFitError
from infertui.models.memory.estimate import (
    CPU_OVERHEAD,
    CUDA_OVERHEAD,
    check,
    check_positions,
    cpu_overhead,
    dtype_in_use,
    estimate,
)
from infertui.models.memory.kv_cache import CacheLayers, uniform
from infertui.models.shapes import ModelShape, read_shape

GIB = 1 << 30


def shape(name: str, **changes: Any) -> ModelShape:
    config = json.loads((paths.data() / "models" / name / "config.json").read_text())
    return replace(read_shape(config), **changes)


def test_gpt2_in_float32_on_a_cpu_worked_by_hand() -> None:
    needed = estimate(shape("gpt2-124m"), dtype="auto", device_kind="cpu", batch_size=2, input_len=100, output_len=28)
    assert needed.dtype == "float32"
    assert needed.weights == 124_439_808 * 4
    assert needed.kv_cache == 2 * 12 * 12 * 64 * 4 * 2 * 128
    assert needed.activations == 2 * 100 * (4 * 768 + 4 * 3072) * 4 + 2 * 50257 * (4 + 4)
    assert needed.overhead == cpu_overhead() >= CPU_OVERHEAD
    assert needed.total == needed.weights + needed.kv_cache + needed.activations + needed.overhead


def test_grouped_query_llama_in_16_bit_on_a_gpu_worked_by_hand() -> None:
    needed = estimate(
        shape("tinyllama-1.1b"), dtype="float16", device_kind="cuda", batch_size=4, input_len=200, output_len=100
    )
    assert needed.weights == 2_200_096_768
    assert needed.kv_cache == 27_033_600
    assert needed.activations == 4 * 200 * (4 * 2048 + 3 * 5632) * 2 + 4 * 32000 * (2 + 4)
    assert needed.overhead == CUDA_OVERHEAD
    assert needed.explain(80 * GIB) == [
        "weights 1.10 G parameters x 2 bytes (float16) = 2.05 GiB",
        "KV cache 22 layers x 2 x 256 numbers x 2 bytes x batch 4 x 300 tokens = 25.8 MiB",
        "activations batch 4 x 200 tokens x (4 x 2048 + 3 x 5632) x 2 bytes = 38.3 MiB",
        "logits batch 4 x vocabulary 32000 x 6 bytes = 750 KiB",
        "overhead CUDA context and libraries = 690 MiB",
        "total 2.79 GiB of 80.0 GiB free: fits",
    ]


@pytest.mark.parametrize(("dtype", "size"), [("float32", 4), ("float16", 2), ("bfloat16", 2)])
def test_eager_attention_adds_its_score_matrix(dtype: Any, size: int) -> None:
    options: dict[str, Any] = {"device_kind": "cuda", "batch_size": 3, "output_len": 1}
    logits = 3 * 4096 * (size + 4)
    long = estimate(shape("nano"), dtype=dtype, attention="eager", input_len=500, **options)
    assert long.activations == 3 * 500 * (4 * 256 + 3 * 256 + 2 * 128) * size + 3 * 8 * 500 * 500 * 8 + logits
    assert any(line.startswith("attention scores batch 3 x 8 heads x 500 x 500 x 8") for line in long.explain())
    short = estimate(shape("nano"), dtype=dtype, attention="eager", input_len=5, **options)
    assert short.activations == 3 * 5 * (4 * 256 + 3 * 704) * size + logits
    assert short == estimate(shape("nano"), dtype=dtype, attention="sdpa", input_len=5, **options)
    assert short.weights == 4_000_000 * size


def test_attention_counts_where_it_is_wider_than_the_mlp() -> None:
    narrow = shape("nano", intermediate=64)
    needed = estimate(narrow, dtype="float32", device_kind="cpu", batch_size=1, input_len=10, output_len=1)
    assert needed.activations == 10 * (4 * 256 + 3 * 256 + 2 * 128) * 4 + 4096 * 8


def test_every_active_expert_has_its_mlp() -> None:
    mixture = shape("nano", experts=8, active_experts=2)
    needed = estimate(mixture, dtype="float32", device_kind="cpu", batch_size=1, input_len=10, output_len=1)
    assert needed.activations == 10 * (4 * 256 + 3 * 704 * 2) * 4 + 4096 * 8


def test_sliding_layers_keep_a_window() -> None:
    sliding = shape("nano", cache=uniform(4, 4, 32, sliding=3, window=100))
    needed = estimate(sliding, dtype="float16", device_kind="cpu", batch_size=2, input_len=200, output_len=50)
    per_layer = 2 * 4 * 32 * 2 * 2
    assert needed.kv_cache == per_layer * (1 * 250 + 3 * 100)
    assert sum("(sliding window)" in line for line in needed.explain()) == 1


def test_what_is_kept_is_counted_layer_by_layer() -> None:
    # A latent of 512 + 64 in 3 layers, and 2 layers with a state of 100 numbers, of which 40 are float32 in any format.
    mixed = shape("nano", cache=(CacheLayers(3, keys=512, values=64), CacheLayers(2, state=100, wide_state=40)))
    needed = estimate(mixed, dtype="float16", device_kind="cpu", batch_size=5, input_len=20, output_len=10)
    assert needed.kv_cache == 5 * (3 * 576 * 2 * 30 + 2 * (60 * 2 + 40 * 4))
    assert (
        "KV cache 3 layers x (512 + 64) numbers x 2 bytes x batch 5 x 30 tokens + 2 layers x 280 B of state x batch 5 "
        "= 509 KiB" in needed.explain()
    )


def test_quantized_weights_take_what_they_take_on_disk() -> None:
    quantized = shape("llama-8b", quantization="awq")
    options: dict[str, Any] = {"device_kind": "cuda", "batch_size": 1, "input_len": 1, "output_len": 1}
    needed = estimate(quantized, dtype="float16", weights_on_disk=5 * GIB, **options)
    assert needed.weights == 5 * GIB
    assert needed.explain()[0] == "weights as stored (awq) = 5.00 GiB"


def test_an_estimated_count_says_so() -> None:
    unknown = shape("nano", exact=False)
    needed = estimate(unknown, dtype="float32", device_kind="cpu", batch_size=1, input_len=1, output_len=1)
    assert needed.explain()[0].startswith("weights about 4.0 M parameters")


def test_what_auto_comes_to() -> None:
    assert dtype_in_use(shape("llama-8b"), "auto", "cpu") == "float32"
    assert dtype_in_use(shape("llama-8b"), "auto", "cuda") == "bfloat16"
    assert dtype_in_use(shape("gpt2-124m"), "auto", "cuda") == "float16"
    assert dtype_in_use(shape("gpt2-124m"), "float32", "cuda") == "float32"


def test_a_refusal_gives_the_arithmetic_and_what_would_help() -> None:
    needed = estimate(
        shape("llama-8b"), dtype="float32", device_kind="cuda", batch_size=64, input_len=2000, output_len=1000
    )
    with pytest.raises(DoesNotFitError) as caught:
        check(needed, 40 * GIB, lambda: ["workload.batch_size of at most 3"])
    for line in needed.explain(40 * GIB):
        assert line in caught.value.message
    assert "does not fit" in caught.value.message
    assert caught.value.remedy == (
        "Use workload.batch_size of at most 3 or a device with more memory; or load it all the same with --force "
        "(device.force)."
    )
    check(needed, 40 * GIB, list, forced=True)
    check(needed, needed.total, list)


def test_what_an_allocator_may_give_back_is_no_reason_to_refuse() -> None:
    plain = estimate(shape("nano"), dtype="float16", device_kind="cuda", batch_size=1, input_len=1, output_len=1)
    needed = replace(plain, spare=100 << 20)
    assert needed.total == plain.total + (100 << 20)
    assert needed.least == plain.total
    for free, fits, words in (
        (needed.total, True, "free: fits"),
        (needed.total - 1, None, "free: may not fit ("),
        (needed.least, None, "at the least)"),
        (needed.least - 1, False, "free: does not fit"),
    ):
        assert needed.fits(free) is fits
        assert words in needed.explain(free)[-1]
        if fits is False:
            with pytest.raises(DoesNotFitError):
                check(needed, free, lambda: ["less"])
        else:
            check(needed, free, list)


def test_positions_are_a_hard_limit() -> None:
    gpt2 = shape("gpt2-124m")
    check_positions(gpt2, 1000, 24)
    with pytest.raises(ConfigError, match="1000 \\+ 25 = 1025 tokens") as caught:
        check_positions(gpt2, 1000, 25)
    assert caught.value.path == "workload.input_len + workload.output_len"
    assert "at most 1024" in caught.value.allowed
    check_positions(shape("gpt2-124m", max_positions=0), 10**6, 10**6)


@pytest.mark.parametrize("changes", [{"batch_size": 0}, {"input_len": -1}, {"output_len": -1}])
def test_nonsense_is_a_programming_error(changes: dict[str, int]) -> None:
    workload: dict[str, Any] = {"batch_size": 1, "input_len": 1, "output_len": 1, **changes}
    with pytest.raises(ValueError, match="batch_size"):
        estimate(shape("nano"), dtype="auto", device_kind="cpu", **workload)


@pytest.mark.parametrize(
    ("word", "size"), [("q8_0", 34 / 32), ("q4_0", 18 / 32), ("int8", 1.0), ("fp8", 1.0), ("int4", 0.53125)]
)
def test_quantized_weights_by_format(word: str, size: float) -> None:
    options: dict[str, Any] = {"device_kind": "cuda", "batch_size": 1, "input_len": 10, "output_len": 1}
    model = shape("tinyllama-1.1b")
    needed = estimate(model, dtype="bfloat16", quantization=word, **options)
    embedding = 0 if word.startswith("q") else 32000 * 2048
    assert needed.weights == round((model.parameters - embedding) * size) + embedding * 2
    assert word in needed.explain()[0]
    plain = estimate(model, dtype="bfloat16", **options)
    assert (needed.kv_cache, needed.activations) == (plain.kv_cache, plain.activations)
    assert estimate(model, dtype="bfloat16", quantization="awq-of-somebody", **options).weights == plain.weights


def test_divided_layers_need_a_share_of_each_device() -> None:
    options: dict[str, Any] = {"device_kind": "cuda", "batch_size": 1, "input_len": 10, "output_len": 1}
    one = estimate(shape("llama-8b"), dtype="bfloat16", **options)
    four = estimate(shape("llama-8b"), dtype="bfloat16", tensor_parallel=4, **options)
    assert (four.weights, four.kv_cache) == (one.weights // 4, one.kv_cache // 4)
    assert four.explain()[0].startswith("weights 8.03 G parameters x 2 bytes (bfloat16) / 4 GPUs = ")
    many = estimate(shape("tinyllama-1.1b"), dtype="bfloat16", tensor_parallel=16, **options)
    few = estimate(shape("tinyllama-1.1b"), dtype="bfloat16", tensor_parallel=4, **options)
    assert many.kv_cache == few.kv_cache, "it has four KV heads"
