"""Which server answers to which paths, and what it lists of itself."""

from typing import Literal, get_args

Family = Literal["all", "openai", "vllm", "sglang", "llama-server", "ollama", "tgi", "triton"]
FAMILIES: tuple[Family, ...] = get_args(Family)
