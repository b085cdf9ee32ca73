"""What ran as one short word."""

import pytest

from infertui.metrics.number_format import form_of


@pytest.mark.parametrize(
    ("dtype", "settings", "word"),
    [
        ("float32", {}, "f32"),
        ("bfloat16", {"quantization": "none"}, "bf16"),
        ("bfloat16", {"quantization": "int8"}, "int8"),
        ("float32", {"quantization": "q4_1"}, "q4_1"),
        ("float32", {"quantization": "q4_0", "llama_cpp.type_k": "f16", "llama_cpp.type_v": "f16"}, "q4_0"),
        ("float32", {"quantization": "q8_0", "llama_cpp.type_k": "q8_0", "llama_cpp.type_v": "q4_0"},
         "q8_0 kv q8_0/q4_0"),
        ("float32", {"quantization": "none", "llama_cpp.type_k": "q4_0", "llama_cpp.type_v": "q4_0"}, "f32 kv q4_0"),
        ("float32", {"llama_cpp.type_k": "f16", "llama_cpp.type_v": "f16"}, "f32 kv f16"),
        ("float32", {"llama_cpp.type_k": "f32", "llama_cpp.type_v": "f32"}, "f32"),
        ("bfloat16", {"llama_cpp.type_k": "f16", "llama_cpp.type_v": "f16"}, "bf16"),
        ("float32", {"openvino.kv_cache": "u8"}, "f32 kv u8"),
        ("float32", {"openvino.kv_cache": "f32"}, "f32"),
        ("bfloat16", {"vllm.kv_cache_dtype": "fp8"}, "bf16 kv fp8"),
        ("bfloat16", {"vllm.kv_cache_dtype": "auto"}, "bf16"),
        ("none", {}, ""),
        ("", {"openvino.kv_cache": "unknown"}, ""),
    ],
)  # fmt: skip
def test_the_format_of_weights_and_of_a_cache_with_fewer_bits(dtype: str, settings: dict[str, str], word: str) -> None:
    assert form_of(dtype, settings) == word
