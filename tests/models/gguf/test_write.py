"""Writing GGUF files: what comes out is read back, by us and by the gguf package."""

import json
import os
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from infertui.errors import ModelError
from infertui.models.gguf import write
from infertui.models.gguf.layout import Planned, layout, llama3_factors
from infertui.models.gguf.read import TYPES, read_gguf
from infertui.models.gguf.shape import shape_of
from infertui.models.gguf.weights import Checkpoint, GgufFormat, bytes_per_row, drawn, stored_format
from infertui.models.gguf.write import cache_folder, cached_gguf, write_gguf
from infertui.models.resolve import ModelSource, read_config, resolve
from infertui.models.shapes import read_shape

gguf = pytest.importorskip("gguf", reason="gguf is not installed: pip install gguf")
np = pytest.importorskip("numpy", reason="numpy is not installed")

NANO = "synthetic:nano"
FORMATS: tuple[GgufFormat, ...] = ("f32", "f16", "bf16", "q8_0", "q4_0")


def test_types_are_those_of_the_gguf_package() -> None:
    for number, (name, block, width) in TYPES.items():
        kind = gguf.GGMLQuantizationType(number)
        assert (kind.name.lower(), *gguf.GGML_QUANT_SIZES[kind]) == (name, block, width)


@pytest.mark.parametrize("name", ["nano", "gpt2-124m"])
def test_a_synthetic_model_is_read_back_by_the_library(tmp_path: Path, name: str) -> None:
    source = resolve(f"synthetic:{name}")
    path = tmp_path / "x.gguf"
    write_gguf(source, path, "q8_0")
    reader = gguf.GGUFReader(path)
    assert sum(int(tensor.n_elements) for tensor in reader.tensors) == source.parameters
    assert path.stat().st_size == reader.tensors[-1].data_offset + reader.tensors[-1].n_bytes
    file = read_gguf(path)
    shape = shape_of(file)
    assert file.random_weights
    assert shape.parameters == source.parameters
    for field in ("architecture", "layers", "hidden", "heads", "kv_heads", "head_dim", "intermediate", "vocab"):
        assert getattr(shape, field) == getattr(source.shape, field), field
    assert (shape.max_positions, shape.gated_mlp) == (source.shape.max_positions, source.shape.gated_mlp)


@pytest.mark.parametrize("form", FORMATS)
def test_made_up_weights_have_the_deviation_asked_for(form: GgufFormat) -> None:
    tensor = Planned("w.weight", (512, 256), "", matrix=True)
    rows = np.concatenate(list(drawn(tensor, form, seed=1, std=0.02)))
    assert rows.shape == (512, bytes_per_row(tensor, form))
    weights = gguf.quants.dequantize(rows, gguf.GGMLQuantizationType[form.upper()])
    assert weights.shape == tensor.shape
    assert abs(float(weights.mean())) < 0.0005
    assert float(weights.std()) == pytest.approx(0.02, rel=0.02)
    again = np.concatenate(list(drawn(tensor, form, seed=1, std=0.02)))
    other = np.concatenate(list(drawn(tensor, form, seed=2, std=0.02)))
    assert (again == rows).all()
    assert (other != rows).mean() > 0.5


def test_plain_formats_hold_the_same_made_up_weights() -> None:
    tensor = Planned("w.weight", (64, 64), "", matrix=True)
    held = {}
    for form in ("f32", "f16", "bf16"):
        rows = np.concatenate(list(drawn(tensor, form, seed=3)))
        held[form] = gguf.quants.dequantize(rows, gguf.GGMLQuantizationType[form.upper()])
    assert np.allclose(held["f32"], held["f16"], rtol=1e-3, atol=1e-6)
    assert np.allclose(held["f32"], held["bf16"], rtol=1e-2)


def test_formats_of_tensors() -> None:
    matrix = Planned("w", (8, 64), "", matrix=True)
    assert stored_format(matrix, "q4_0") == "q4_0"
    assert stored_format(Planned("w", (8, 40), "", matrix=True), "q4_0") == "f16"
    assert stored_format(Planned("w", (64,), ""), "q8_0") == "f32"


def test_the_cache_is_keyed_by_all_that_matters(tmp_path: Path) -> None:
    environ = {"XDG_CACHE_HOME": str(tmp_path)}
    told: list[str] = []
    first = cached_gguf(resolve(NANO), "q4_0", environ=environ, tell=told.append)
    assert first.parent == cache_folder(environ) == tmp_path / "infertui" / "gguf"
    assert any("writing synthetic:nano" in line for line in told)
    before = first.stat()
    told.clear()
    assert cached_gguf(resolve(NANO), "q4_0", environ=environ, tell=told.append) == first
    assert (first.stat().st_mtime_ns, told) == (before.st_mtime_ns, [])
    others = [
        cached_gguf(resolve(NANO), "q4_0", seed=1, environ=environ),
        cached_gguf(resolve(NANO), "q8_0", environ=environ),
    ]
    config = read_config(resolve(NANO).path) | {"num_hidden_layers": 1}
    (tmp_path / "config.json").write_text(json.dumps(config))
    others.append(cached_gguf(resolve(f"synthetic:{tmp_path}"), "q4_0", environ=environ))
    assert len({first, *others}) == 4
    assert sorted(path.name for path in first.parent.iterdir()) == sorted(path.name for path in {first, *others})


def test_the_cache_without_a_home() -> None:
    assert cache_folder({"XDG_CACHE_HOME": "relative"}) == Path.home() / ".cache" / "infertui" / "gguf"


def test_one_of_several_processes_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environ = {"XDG_CACHE_HOME": str(tmp_path)}
    writing, go = threading.Event(), threading.Event()
    written: list[Path] = []
    original = write.write_gguf

    def slow(source: ModelSource, path: Path, form: GgufFormat, **options: Any) -> None:
        written.append(path)
        writing.set()
        assert go.wait(30)
        original(source, path, form, **options)

    monkeypatch.setattr(write, "write_gguf", slow)
    waiting = threading.Event()
    found: list[Path] = []

    def ask(tell: Any = lambda _: None) -> None:
        found.append(cached_gguf(resolve(NANO), "q4_0", environ=environ, tell=tell))

    threads = [threading.Thread(target=ask)]
    threads[0].start()
    assert writing.wait(30)
    threads.append(threading.Thread(target=ask, args=(lambda _: waiting.set(),)))
    threads[1].start()
    assert waiting.wait(30)
    go.set()
    for thread in threads:
        thread.join(30)
    assert len(written) == 1
    assert found[0] == found[1]


def test_a_writer_that_died_leaves_nothing_behind(tmp_path: Path) -> None:
    environ = {"XDG_CACHE_HOME": str(tmp_path)}
    folder = cache_folder(environ)
    folder.mkdir(parents=True)
    (folder / ".other-q4_0-0123456789abcdef.gguf.part").write_bytes(b"half of it")
    path = cached_gguf(resolve(NANO), "q4_0", environ=environ)
    assert list(folder.iterdir()) == [path]


def test_a_full_disk_is_said_before_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1 << 20))
    with pytest.raises(ModelError, match=r"takes .* but .* has 1.00 MiB free") as caught:
        cached_gguf(resolve(NANO), "f32", environ={"XDG_CACHE_HOME": str(tmp_path)})
    assert "XDG_CACHE_HOME" in caught.value.remedy
    assert list(cache_folder({"XDG_CACHE_HOME": str(tmp_path)}).iterdir()) == []


def test_a_disk_that_fills_up_while_writing(tmp_path: Path) -> None:
    if not os.access("/dev/full", os.W_OK):
        pytest.skip("no /dev/full here")
    with pytest.raises(ModelError, match="is full"):
        write_gguf(resolve(NANO), Path("/dev/full"), "q4_0")


def test_a_cache_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "infertui").write_text("in the way")
    with pytest.raises(ModelError, match="cannot be made"):
        cached_gguf(resolve(NANO), "q4_0", environ={"XDG_CACHE_HOME": str(tmp_path)})


def source_of(**changes: Any) -> tuple[dict[str, Any], Any]:
    config = read_config(resolve(NANO).path) | changes
    return config, read_shape(config)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"model_type": "qwen2"}, "not for qwen2"),
        ({"hidden_act": "gelu"}, "hidden_act is gelu"),
        ({"rope_scaling": {"rope_type": "yarn"}}, "rope_type is yarn"),
        ({"rms_norm_eps": -1}, "rms_norm_eps is -1"),
        ({"quantization_config": {"quant_method": "awq"}}, "quantized with awq"),
    ],
)
def test_what_a_file_could_not_hold_truthfully_is_refused(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(ModelError, match=problem):
        layout(*source_of(**changes))


def test_rope_is_read_where_either_version_of_transformers_writes_it() -> None:
    old = layout(*source_of(rope_theta=5e5, rope_scaling={"type": "linear", "factor": 4}))
    new = layout(*source_of(rope_theta=None, rope_parameters={"rope_type": "linear", "rope_theta": 5e5, "factor": 4}))
    assert old.metadata == new.metadata
    assert old.metadata["rope.freq_base"] == 5e5
    assert old.metadata["rope.scaling.factor"] == 4


def test_llama3_factors_are_those_of_transformers() -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    scaling = {
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192, "rope_theta": 5e5,
    }  # fmt: skip
    config = transformers.LlamaConfig(
        hidden_size=512, num_attention_heads=4, head_dim=128, rope_theta=5e5, rope_parameters=scaling
    )
    scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](config, "cpu")
    plain = [5e5 ** (-pair / 128) for pair in range(0, 128, 2)]
    ours = llama3_factors(128, 5e5, factor=8.0, low=1.0, high=4.0, original=8192)
    assert [one / other for one, other in zip(plain, ours, strict=True)] == pytest.approx(scaled.tolist(), rel=1e-5)


def safetensors(path: Path, table: dict[str, Any], data: bytes) -> None:
    header = json.dumps(table).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + data)


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ({"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 999]}, "damaged or cut short"),
        ({"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 16]}, "damaged or cut short"),
        ({"dtype": "F32", "shape": [-2, -2], "data_offsets": [0, 16]}, "damaged or cut short"),
        ({"dtype": "F32", "shape": "many"}, "damaged: the entry"),
    ],
)
def test_damaged_checkpoints(tmp_path: Path, entry: dict[str, Any], problem: str) -> None:
    safetensors(tmp_path / "model.safetensors", {"wte.weight\x1b": entry}, bytes(16))
    with pytest.raises(ModelError, match=problem) as caught:
        Checkpoint([tmp_path / "model.safetensors"])
    assert caught.value.message.isprintable()


def test_a_checkpoint_that_lacks_a_tensor_or_has_it_otherwise(tmp_path: Path) -> None:
    entry = {"dtype": "BF16", "shape": [2, 4], "data_offsets": [0, 16]}
    safetensors(tmp_path / "model.safetensors", {"transformer.wte.weight": entry}, b"\x80\x3f" * 8)
    checkpoint = Checkpoint([tmp_path / "model.safetensors"])
    rows = list(checkpoint.rows(Planned("token_embd.weight", (2, 4), "wte.weight", matrix=True), "f32"))
    assert np.concatenate(rows).view(np.float32).tolist() == [[1.0] * 4] * 2
    with pytest.raises(ModelError, match=r"has no tensor lm_head\.weight"):
        list(checkpoint.rows(Planned("output.weight", (2, 4), "lm_head.weight", matrix=True), "f32"))
    with pytest.raises(ModelError, match=r"wte\.weight is 2 x 4, its config\.json says 4 x 4"):
        list(checkpoint.rows(Planned("token_embd.weight", (4, 4), "wte.weight", matrix=True), "f32"))


def test_only_safetensors_are_read(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no safetensors file"):
        Checkpoint([tmp_path / "pytorch_model.bin"])


def test_a_16_bit_checkpoint_keeps_its_bits(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    pytest.importorskip("transformers", reason="transformers is not installed")
    from support.checkpoints import save_llama

    model = save_llama(tmp_path / "checkpoint", dtype="bfloat16")
    path = tmp_path / "x.gguf"
    write_gguf(resolve(str(tmp_path / "checkpoint")), path, "bf16")
    held = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
    expected = model.model.embed_tokens.weight.detach().view(torch.uint16).numpy()
    assert (held["token_embd.weight"].data.view(np.uint16) == expected).all()
    assert held["token_embd.weight"].tensor_type == gguf.GGMLQuantizationType.BF16
    assert held["output_norm.weight"].tensor_type == gguf.GGMLQuantizationType.F32
    assert not read_gguf(path).random_weights
