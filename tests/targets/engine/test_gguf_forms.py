"""GGUF files in the forms that people download: as llama.cpp's own quantizer makes them, and as it calls them."""

import ctypes
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.checkpoints import save_llama

from infertui.config.engines.gguf_words import GGUF_FORMS
from infertui.errors import EngineError
from infertui.models.gguf.read import FILE_TYPES, GgufFile, GgufTensor, read_gguf
from infertui.models.gguf.write import cached_gguf
from infertui.models.resolve import resolve
from infertui.targets.engine import gguf_forms
from infertui.targets.engine.gguf_forms import quantized_gguf

api = pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed: pip install infertui[llama-cpp]")
pytest.importorskip("gguf", reason="gguf is not installed: pip install gguf")
pytest.importorskip("transformers", reason="transformers is not installed: no checkpoint to quantize")

SHAPES: dict[str, dict[str, Any]] = {
    "rows of 128": {"hidden_size": 128},
    "rows of 256": {"hidden_size": 256, "intermediate_size": 512},
}


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module", params=SHAPES)
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tied")
    save_llama(folder, tie_word_embeddings=True, **SHAPES[request.param])
    return folder


def tensors(path: Path) -> dict[str, tuple[tuple[int, ...], str]]:
    return {tensor.name: (tensor.shape, tensor.type) for tensor in read_gguf(path).tensors}


def by_llama_cpp(plain: Path, target: Path, form: str) -> Path:
    params: Any = api.llama_model_quantize_default_params()
    params.ftype, params.nthread = getattr(api, f"LLAMA_FTYPE_MOSTLY_{form.upper()}"), 1
    assert api.llama_model_quantize(str(plain).encode(), str(target).encode(), ctypes.byref(params)) == 0
    return target


@pytest.mark.parametrize("form", ["q4_0", "q4_k_m", "q8_0"])
def test_a_form_is_llama_cpps_own_to_the_byte(checkpoint: Path, tmp_path: Path, form: str) -> None:
    source = resolve(str(checkpoint))
    ours = quantized_gguf(source, form)
    theirs = by_llama_cpp(cached_gguf(source, "f32"), tmp_path / "theirs.gguf", form)
    assert ours.read_bytes() == theirs.read_bytes()
    assert read_gguf(ours).quantization == form
    assert quantized_gguf(source, form) == ours  # and is not made twice
    head = tensors(ours)["token_embd.weight"][1]
    assert head == ("q8_0" if form == "q8_0" or "128" in str(tensors(ours)["token_embd.weight"][0]) else "q6_k")


def test_made_up_weights_lie_in_the_types_that_the_quantizer_would_choose(checkpoint: Path, tmp_path: Path) -> None:
    shape = tmp_path / "shape.json"
    shape.write_text((checkpoint / "config.json").read_text())
    source = resolve(f"synthetic:{shape}")
    drawn = quantized_gguf(source, "q4_0")
    theirs = by_llama_cpp(cached_gguf(source, "f32"), tmp_path / "theirs.gguf", "q4_0")
    assert tensors(drawn) == tensors(theirs)
    assert read_gguf(drawn).random_weights
    assert drawn.stat().st_size == pytest.approx(theirs.stat().st_size, rel=0.01)


def test_forms_are_numbered_as_llama_cpp_numbers_them() -> None:
    for number, word in FILE_TYPES.items():
        known = {getattr(api, name) for name in dir(api) if name.upper() == f"LLAMA_FTYPE_MOSTLY_{word.upper()}"}
        assert known <= {number}, word
    assert set(GGUF_FORMS) <= set(FILE_TYPES.values())


def test_without_llama_cpp_q8_0_is_written_all_the_same(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = resolve(str(checkpoint))
    theirs = quantized_gguf(source, "q8_0")
    monkeypatch.setattr(gguf_forms, "find_spec", lambda _: None)
    ours = quantized_gguf(source, "q8_0")
    assert ours != theirs
    assert {t.name: t.type for t in read_gguf(ours).tensors} == {t.name: t.type for t in read_gguf(theirs).tensors}
    with pytest.raises(EngineError, match=r"q4_0 is made by llama\.cpp"):
        quantized_gguf(source, "q4_0")


def named(number: int | str | None, *held: tuple[str, int]) -> str:
    metadata: dict[str, Any] = {} if number is None else {"general.file_type": number}
    matrices = tuple(GgufTensor(f"t{place}.weight", (8, width), kind, 0) for place, (kind, width) in enumerate(held))
    return GgufFile(metadata, {}, matrices).quantization


def test_a_file_is_called_what_its_tensors_allow() -> None:
    assert named(15, ("q4_k", 256), ("q6_k", 256)) == "q4_k_m"
    assert named(15, ("q5_0", 576), ("q8_0", 576)) == "q4_k_m"  # rows that no K type can hold
    assert named(15, ("q5_0", 256)) == "q5_0"  # a name that its tensors belie
    assert named(2, ("q4_0", 64), ("q8_0", 64)) == "q4_0"
    assert named(2, ("q8_0", 64)) == "q8_0"
    assert named(7, ("f16", 64)) == named(None, ("bf16", 64)) == "none"
    assert named(None, ("q4_1", 64)) == named("nonsense", ("q4_1", 64)) == named(10**9, ("q4_1", 64)) == "q4_1"


def test_openvino_reads_the_forms_that_it_takes_and_names_what_it_cannot(tmp_path: Path) -> None:
    pytest.importorskip("openvino_genai", reason="OpenVINO GenAI is not installed")
    from infertui.config.schema import DeviceConfig, EngineConfig, ModelConfig
    from infertui.errors import ModelError
    from infertui.measure.clock import MonotonicClock
    from infertui.targets.engine.base import Capacity, LoadRequest, create

    def load(folder: Path, form: str) -> Any:
        engine = create("openvino", MonotonicClock())
        config = EngineConfig(name="openvino", dtype="float32", quantization=form)
        device = DeviceConfig(name="cpu", threads=1)
        return engine.load(LoadRequest(ModelConfig(id=str(folder)), config, device, Capacity(1, 8, 8)))

    wide, narrow = tmp_path / "wide", tmp_path / "narrow"
    save_llama(wide, **SHAPES["rows of 256"])
    save_llama(narrow)
    for folder, form in ((wide, "q4_k_m"), (wide, "q6_k"), (narrow, "q4_1"), (narrow, "q4_0")):
        loaded = load(folder, form)
        held = read_gguf(quantized_gguf(resolve(str(folder)), form)).tensors
        assert loaded.weight_bytes == read_gguf(quantized_gguf(resolve(str(folder)), form)).tensor_bytes()
        assert loaded.quantized_layers == sum(tensor.type not in ("f32", "f16") for tensor in held)
    with pytest.raises(ModelError, match=r"in q4_k_m: it holds tensors in q5_0, and OpenVINO reads"):
        load(narrow, "q4_k_m")


def test_bytes_of_tensors_are_those_of_the_library(checkpoint: Path) -> None:
    import gguf

    path = quantized_gguf(resolve(str(checkpoint)), "q4_k_m")
    assert read_gguf(path).tensor_bytes() == sum(int(tensor.n_bytes) for tensor in gguf.GGUFReader(path).tensors)
    assert read_gguf(path).types_told().startswith(("q4_k ", "q5_0 "))
