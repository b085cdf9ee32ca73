"""The words of `engine.quantization` that are forms of GGUF files, as llama.cpp calls them."""

GGUF_FORMS = (
    "q8_0", "q6_k", "q5_k_m", "q5_k_s", "q5_1", "q5_0", "q4_k_m", "q4_k_s", "q4_1", "q4_0", "q3_k_l", "q3_k_m",
    "q3_k_s", "q2_k",
)  # fmt: skip
"""What llama.cpp's quantizer makes without a file of importances, by falling size."""
