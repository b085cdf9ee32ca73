"""What llama.cpp keeps of a token, layer by layer, from the keys of a file."""

from typing import Any

import pytest

from infertui.errors import ModelError
from infertui.models.gguf.read import GgufFile, GgufTensor
from infertui.models.gguf.shape import shape_of
from infertui.models.memory.kv_cache import CacheLayers


def file(architecture: str, tensors: tuple[GgufTensor, ...] = (), **keys: Any) -> GgufFile:
    table: dict[str, Any] = {
        "block_count": 24, "embedding_length": 2880, "attention.head_count": 64, "attention.head_count_kv": 8,
        "attention.key_length": 64, "attention.value_length": 64, "feed_forward_length": 2880,
        **{key.replace("__", "."): value for key, value in keys.items()},
    }  # fmt: skip
    named = {f"{architecture}.{key}": value for key, value in table.items() if value is not None}
    return GgufFile({"general.architecture": architecture, **named}, {"tokenizer.ggml.tokens": 256}, tensors)


def test_every_second_layer_of_gpt_oss_slides() -> None:
    shape = shape_of(file("gpt-oss", attention__sliding_window=128))
    assert shape.cache == (CacheLayers(12, 512, 512, 128), CacheLayers(12, 512, 512))


def test_five_of_six_layers_of_gemma_3_slide() -> None:
    shape = shape_of(
        file("gemma3", block_count=26, attention__head_count=4, attention__head_count_kv=1, attention__key_length=256,
             attention__value_length=256, attention__sliding_window=512)
    )  # fmt: skip
    assert set(shape.cache or ()) == {CacheLayers(22, 256, 256, 512), CacheLayers(4, 256, 256)}


@pytest.mark.parametrize(
    ("architecture", "keys", "windows"),
    [
        ("gemma2", {"attention__sliding_window": 4096, "block_count": 5}, [4096, 0, 4096, 0, 4096]),
        ("cohere2", {"attention__sliding_window": 4096, "block_count": 5}, [4096, 4096, 4096, 0, 4096]),
        ("smallthinker", {"attention__sliding_window": 4096, "block_count": 5}, [0, 4096, 4096, 4096, 0]),
        ("llama", {"attention__sliding_window": 4096, "block_count": 2}, [0, 0]),
        ("gpt-oss", {"block_count": 2}, [0, 0]),
        ("llama4", {"block_count": 4}, [8192, 8192, 8192, 0]),
        (
            "gemma4",
            {"attention__sliding_window": 512, "attention__sliding_window_pattern": (True, False), "block_count": 2},
            [512, 0],
        ),
        (
            "gemma3",
            {"attention__sliding_window": 512, "attention__sliding_window_pattern": 2, "block_count": 2},
            [512, 0],
        ),
    ],
)
def test_which_layers_slide(architecture: str, keys: dict[str, Any], windows: list[int]) -> None:
    shape = shape_of(file(architecture, **keys))
    assert {group.window: group.layers for group in shape.cache or ()} == {w: windows.count(w) for w in windows}


def test_heads_of_each_layer_and_lengths_of_values_count() -> None:
    shape = shape_of(file("deci", block_count=3, attention__head_count_kv=(8, 0, 2), attention__value_length=32))
    assert shape.cache == (CacheLayers(1, 8 * 64, 8 * 32), CacheLayers(1, 2 * 64, 2 * 32))


def test_a_latent_is_kept_once() -> None:
    shape = shape_of(
        file("deepseek2", block_count=61, attention__head_count_kv=1, attention__key_length=576,
             attention__value_length=512, attention__key_length_mla=192, attention__value_length_mla=128)
    )  # fmt: skip
    assert shape.cache == (CacheLayers(61, 576, 0),)


def test_hybrids_keep_states_beside_a_few_attention_layers() -> None:
    granite = shape_of(
        file("granitehybrid", block_count=4, attention__head_count_kv=(0, 0, 4, 0), ssm__conv_kernel=4,
             ssm__inner_size=3072, ssm__state_size=128, ssm__group_count=1)
    )  # fmt: skip
    state = 3 * (3072 + 2 * 128) + 128 * 3072
    assert granite.cache == (CacheLayers(3, state=state, wide_state=state), CacheLayers(1, 256, 256))
    lfm2 = shape_of(file("lfm2", block_count=2, attention__head_count_kv=(0, 8), shortconv__l_cache=3))
    assert lfm2.cache == (CacheLayers(1, state=2 * 2880, wide_state=2 * 2880), CacheLayers(1, 512, 512))
    mamba = shape_of(
        file("mamba", attention__head_count=None, attention__head_count_kv=None, attention__key_length=None,
             ssm__conv_kernel=4, ssm__inner_size=1536, ssm__state_size=16)
    )  # fmt: skip
    assert mamba.cache == (CacheLayers(24, state=3 * 1536 + 16 * 1536, wide_state=3 * 1536 + 16 * 1536),)


def test_layers_that_predict_further_tokens_keep_nothing_and_are_not_counted() -> None:
    tensors = (
        GgufTensor("token_embd.weight", (256, 10), "f32", 0),
        GgufTensor("blk.0.attn_q.weight", (10, 10), "f32", 0),
        GgufTensor("blk.1.attn_q.weight", (10, 10), "f32", 0),
    )
    shape = shape_of(file("glm4moe", tensors, block_count=2, nextn_predict_layers=1))
    assert (shape.layers, shape.parameters) == (1, 2660)
    assert shape.cache == (CacheLayers(1, 512, 512),)


def test_layers_that_look_at_the_keys_of_others_keep_none() -> None:
    shape = shape_of(file("gemma3n", block_count=30, attention__shared_kv_layers=10))
    assert shape.cache == (CacheLayers(20, 512, 512),)


def test_windows_of_an_architecture_that_is_not_known_are_not_guessed() -> None:
    assert shape_of(file("brand-new", attention__sliding_window=512)).cache is None
    assert shape_of(file("brand-new", ssm__state_size=16, ssm__conv_kernel=4)).cache is None
    assert shape_of(file("brand-new")).cache == (CacheLayers(24, 512, 512),)


@pytest.mark.parametrize("architecture", ["bert", "nomic-bert", "t5", "t5encoder", "clip", "gemma-embedding", "dream"])
def test_files_that_hold_no_decoder_are_refused(architecture: str) -> None:
    with pytest.raises(ModelError, match=f"not a decoder-only language model: {architecture} is"):
        shape_of(file(architecture))


def test_projectors_and_adapters_are_refused() -> None:
    other = file("llama")
    other.metadata["general.type"] = "mmproj"
    with pytest.raises(ModelError, match="is mmproj, not model"):
        shape_of(other)
