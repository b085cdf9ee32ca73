import pytest
from msgspec.structs import replace

from infertui import paths
from infertui.config import sources
from infertui.config.parse import decode
from infertui.config.schema import Config
from infertui.errors import ConfigError

NAMES = [
    "baseline", "cpu-baseline", "demo", "gpu-batch4", "gpu-long", "gpu-medium", "gpu-short", "llama-cpp",
    "llama-cpp-13b", "llama-cpp-7b", "llama-cpp-cpu", "load", "modes", "pytorch", "tinyllama", "trtllm",
]  # fmt: skip
OF_ENGINES = [name for name in NAMES if name != "load"]


def _config(name: str) -> Config:
    return decode(sources.preset(name), name)


def test_the_presets_that_ship() -> None:
    assert sources.names() == NAMES


def test_that_of_a_load_wants_a_url_and_begins_each_prompt_anew() -> None:
    config = _config("load")
    assert (config.target.kind, config.target.url, config.workload.prompts) == ("endpoint", "", "random")
    assert "infertui load http://" in sources.description("load")


@pytest.mark.parametrize("name", OF_ENGINES)
def test_a_preset_is_valid_described_and_needs_no_download(name: str) -> None:
    config = _config(name)
    assert config.model.id.startswith("synthetic:")
    assert len(sources.description(name).split()) > 5
    assert "\n" not in sources.description(name)
    text = (paths.data() / "presets" / f"{name}.toml").read_text()
    assert "`--model ID` puts real weights in its place" in " ".join(text.replace("#", " ").split())


@pytest.mark.parametrize(
    ("name", "model", "device", "dtype", "prompts", "batch", "output", "iterations"),
    [
        ("demo", "nano", "auto", "auto", "short", 1, 512, 5),
        ("baseline", "gpt2-124m", "auto", "auto", "short", 1, 64, 0),
        ("cpu-baseline", "gpt2-124m", "cpu", "auto", "short", 1, 64, 5),
        ("gpu-short", "gpt2-124m", "cuda", "float16", "short", 1, 64, 10),
        ("gpu-medium", "gpt2-124m", "cuda", "float16", "medium", 1, 200, 10),
        ("gpu-batch4", "gpt2-124m", "cuda", "float16", "medium", 4, 200, 10),
        ("gpu-long", "gpt2-124m", "cuda", "float16", "medium", 1, 500, 10),
        ("tinyllama", "tinyllama-1.1b", "cuda", "float16", "long", 1, 200, 10),
    ],
)
def test_what_a_preset_measures(
    name: str, model: str, device: str, dtype: str, prompts: str, batch: int, output: int, iterations: int
) -> None:
    config = _config(name)
    assert config.model.id == f"synthetic:{model}"
    assert (config.device.name, config.engine.dtype) == (device, dtype)
    assert (config.workload.prompts, config.workload.batch_size) == (prompts, batch)
    assert (config.workload.output_len, config.measurement.iterations) == (output, iterations)
    assert config.workload.input_len == (100 if name == "tinyllama" else 0)


def test_pytorch_and_trtllm_differ_in_the_engine_alone() -> None:
    pytorch, trtllm = _config("pytorch"), _config("trtllm")
    assert (pytorch.engine.name, pytorch.engine.mode) == ("transformers", "eager")
    assert trtllm.engine.name == "tensorrt-llm"
    assert replace(pytorch, engine=trtllm.engine) == trtllm
    assert pytorch.engine.dtype == trtllm.engine.dtype == "float16"


def test_the_baseline_is_transformers() -> None:
    assert _config("baseline").engine.name == "transformers"


@pytest.mark.parametrize("name", ["baselin", "", "../presets/demo", "demo.toml", "\x1b[2J"])
def test_an_unknown_preset_is_answered_with_the_names(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        sources.preset(name)
    assert "baseline, cpu-baseline, demo" in str(caught.value)
    assert "\x1b" not in str(caught.value)
    assert ("Did you mean baseline?" in str(caught.value)) == (name == "baselin")


@pytest.mark.parametrize(("length", "fewest", "most"), [("short", 4, 6), ("medium", 15, 20), ("long", 90, 110)])
def test_the_bundled_prompts_have_the_length_of_their_name(length: str, fewest: int, most: int) -> None:
    text = (paths.data() / f"prompts_{length}.txt").read_text(encoding="ascii")
    lines = text.splitlines()
    assert len(lines) == len(set(lines)) == 16
    assert [line for line in lines if not fewest <= len(line.split()) <= most] == []
    assert text.endswith("\n")
    assert text.replace("\n", "").isprintable()
