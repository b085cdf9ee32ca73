"""The shapes that ship, against what is published of the models whose names they have."""

import tomllib

import pytest
from transformers import AutoConfig, AutoModelForCausalLM

from infertui import paths
from infertui.config.schema import EngineConfig
from infertui.models.memory.of_engine import Task, needed
from infertui.models.resolve import resolve, synthetic_names

# The hub's own count of each checkpoint (`safetensors.total`), as model cards, tools and papers quote it; active
# parameters as their makers state them, in billions.
PUBLISHED = {
    "gpt2-124m": 124_439_808,
    "dialogpt-medium": 354_823_168,
    "dialogpt-large": 774_030_080,
    "opt-1.3b": 1_315_758_080,
    "tinyllama-1.1b": 1_100_048_384,
    "llama-2-7b": 6_738_415_616,
    "llama-2-13b": 13_015_864_320,
    "llama-2-70b": 68_976_648_192,
    "llama-3-8b": 8_030_261_248,
    "llama-8b": 8_030_261_248,
    "llama-3-70b": 70_553_706_496,
    "mistral-7b": 7_241_732_096,
    "zephyr-7b": 7_241_732_096,
    "qwen2.5-0.5b": 494_032_768,
    "qwen2.5-7b": 7_615_616_512,
    "qwen3-8b": 8_190_735_360,
    "gemma-2-2b": 2_614_341_888,
    "gemma-3-1b": 999_885_952,
    "mixtral-8x7b": 46_702_792_704,
    "qwen3-30b-a3b": 30_532_122_624,
}
ACTIVE_BILLIONS = {"mixtral-8x7b": 12.9, "qwen3-30b-a3b": 3.3}
OURS = {"nano", "nano-moe"}


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_a_shape_has_the_parameters_of_its_model(name: str) -> None:
    source = resolve(f"synthetic:{name}")
    assert source.parameters == PUBLISHED[name]
    assert source.shape.exact
    if name in ACTIVE_BILLIONS:
        assert (source.shape.active_parameters or 0) / 1e9 == pytest.approx(ACTIVE_BILLIONS[name], abs=0.06)


@pytest.mark.parametrize("name", synthetic_names())
def test_transformers_builds_each_of_that_size(name: str) -> None:
    import torch

    source = resolve(f"synthetic:{name}")
    with torch.device("meta"):
        built = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(source.path.parent))
    assert sum(parameter.numel() for parameter in built.parameters()) == source.parameters


@pytest.mark.parametrize("name", synthetic_names())
def test_the_memory_of_each_can_be_told(name: str) -> None:
    source = resolve(f"synthetic:{name}")
    asked = needed(source, EngineConfig(dtype="float16"), "cuda", Task(1, 100, 100))
    assert asked is not None
    assert 2 * source.parameters <= asked.total < 2.6 * source.parameters + (2 << 30)


def test_each_shape_says_what_it_is_of() -> None:
    sources = tomllib.loads((paths.data() / "models" / "sources.toml").read_text(encoding="utf-8"))
    assert sources.keys() == PUBLISHED.keys() == set(synthetic_names()) - OURS
    assert all(entry["of"].startswith("https://") for entry in sources.values())
