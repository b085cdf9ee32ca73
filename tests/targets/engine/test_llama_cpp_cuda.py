"""llama.cpp on an NVIDIA GPU: layers are where they were asked for, and tokens are those of Transformers."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from support.checkpoints import Reference, greedy, save_llama
from support.sinks import Stamps

from infertui.config.engines.llama_cpp import LlamaCppOptions
from infertui.config.engines.registry import SPECS
from infertui.config.schema import DeviceConfig, EngineConfig, ModelConfig
from infertui.measure.clock import MonotonicClock
from infertui.targets.engine.base import Batch, Capacity, Engine, Loaded, LoadRequest, create
from infertui.targets.engine.llama_cpp.library import probe
from infertui.targets.engine.torch_build import NO_CUDA
from infertui.targets.engine.verify import check, check_loaded
from infertui.telemetry.nvml import Nvml
from infertui.telemetry.visible import by_uuid

pytestmark = pytest.mark.gpu

for module, package in (("llama_cpp", "llama-cpp-python"), ("gguf", "gguf"), ("transformers", "transformers")):
    if find_spec(module) is None:
        pytest.skip(
            f"{package} is not installed: pip install infertui[llama-cpp,transformers]", allow_module_level=True
        )
if probe().cuda == NO_CUDA:
    pytest.skip('llama-cpp-python was built without CUDA: CMAKE_ARGS="-DGGML_CUDA=on"', allow_module_level=True)

PROMPTS = ((5, 17, 90, 3), (42,), tuple(range(60, 90)))
TOKENS = 24


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[Reference]]:
    """A Llama of three layers, and what Transformers generates from it for each prompt."""
    folder: Path = tmp_path_factory.mktemp("checkpoint")
    model = save_llama(folder)
    return str(folder), [greedy(model, prompt, TOKENS) for prompt in PROMPTS]


def loaded(model: str, layers: int, dtype: str = "float32", kv: str = "f32") -> tuple[Engine, Loaded]:
    """A model with so many layers on the GPU, checked to be what was asked for."""
    options = LlamaCppOptions(n_gpu_layers=layers, type_k=kv, type_v=kv)  # type: ignore[arg-type]
    config = EngineConfig(name="llama-cpp", dtype=dtype, llama_cpp=options)  # type: ignore[arg-type]
    engine = create("llama-cpp", MonotonicClock())
    capacity = Capacity(sequences=3, prompt_tokens=40, output_tokens=40)
    facts = engine.load(LoadRequest(ModelConfig(id=model), config, DeviceConfig(name="cuda"), capacity))
    check_loaded(config, facts)
    check(config, SPECS["llama-cpp"], engine.effective())
    return engine, facts


@pytest.mark.parametrize(("asked", "layers"), [(0, 0), (1, 1), (3, 3), (4, 4), (-1, 4)])
@pytest.mark.parametrize(("dtype", "kv"), [("float32", "f32"), ("float16", "f16")])
def test_layers_go_where_they_are_asked_for_and_tokens_stay(
    checkpoint: tuple[str, list[Reference]], asked: int, layers: int, dtype: str, kv: str
) -> None:
    model, expected = checkpoint
    engine, facts = loaded(model, asked, dtype, kv)
    assert facts.offloaded_layers == f"{layers} of 4"  # the output layer is one
    ids = engine.generate(Batch(PROMPTS, TOKENS), Stamps()).read()
    # A GPU sums in another order, of numbers rounded to fewer bits: what was nearly a tie may fall otherwise.
    parted = [reference.parts_from(found) for reference, found in zip(expected, ids, strict=True)]
    assert all(margin is None or margin < 0.15 for margin in parted), parted


def test_the_gpu_is_one_that_nvml_knows(checkpoint: tuple[str, list[Reference]]) -> None:
    _, facts = loaded(checkpoint[0], -1)
    nvml = Nvml.open()
    gpu = by_uuid(facts.device_uuid, nvml.devices())
    nvml.close()
    assert gpu is not None
    assert gpu.name == facts.device_name
