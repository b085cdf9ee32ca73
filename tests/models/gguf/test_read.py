"""GGUF files as they are found on disk: whole, foreign, damaged and hostile."""

import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.sample_gguf import METADATA, TENSORS, gguf, text, write_sample

from infertui.errors import ModelError
from infertui.models.gguf.read import parts_of, read_gguf, read_parts
from infertui.models.gguf.shape import shape_of
from infertui.models.local import local_models
from infertui.models.resolve import resolve


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_sample(tmp_path / "model.gguf")


def test_a_foreign_file(path: Path) -> None:
    file = read_gguf(path)
    assert (file.architecture, file.weight_type(), file.quantized_tensors()) == ("qwen2", "q8_0", 3)
    assert file.lengths["tokenizer.ggml.tokens"] == 3
    assert not file.random_weights
    shape = shape_of(file)
    assert (shape.layers, shape.hidden, shape.heads, shape.kv_heads, shape.head_dim) == (2, 64, 4, 2, 16)
    assert (shape.vocab, shape.max_positions, shape.quantization, shape.dtype) == (320, 4096, "q8_0", "")
    assert shape.parameters == 2 * 320 * 64 + 64 + 96 * 64
    assert (shape.exact, shape.gated_mlp, shape.tied_embeddings) == (True, True, False)


def test_experts_that_a_token_does_not_pass_are_not_active(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    metadata = {**METADATA, "qwen2.expert_count": 8, "qwen2.expert_used_count": 2}
    path.write_bytes(gguf(metadata, {**TENSORS, "blk.0.ffn_up_exps.weight": ((8, 32, 64), 1)}))
    shape = shape_of(read_gguf(path))
    assert shape.parameters - shape.active_parameters == 6 * 32 * 64


def test_resolve_takes_a_file(path: Path) -> None:
    source = resolve(str(path))
    assert (source.kind, source.path, source.weights_bytes_on_disk) == ("gguf", path, path.stat().st_size)
    assert (source.config, source.label) == ({}, str(path))
    assert source.shape.quantization == "q8_0"


def test_resolve_of_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no file"):
        resolve(str(tmp_path / "none.gguf"))


def test_parts_are_one_model(tmp_path: Path) -> None:
    names = [f"m-0000{part}-of-00002.gguf" for part in (1, 2)]
    (tmp_path / names[0]).write_bytes(gguf(METADATA, {"token_embd.weight": ((320, 64), 8)}))
    assert [part.name for part in parts_of(tmp_path / names[1])] == names
    with pytest.raises(ModelError, match=r"m-00002-of-00002\.gguf"):
        resolve(str(tmp_path / names[0]))
    (tmp_path / names[1]).write_bytes(gguf({"split.no": 1}, {"output.weight": ((320, 64), 8)}))
    source = resolve(str(tmp_path / names[1]))
    assert source.path.name == names[0]
    assert source.shape.parameters == 2 * 320 * 64
    assert source.weights_bytes_on_disk == sum((tmp_path / name).stat().st_size for name in names)
    file, size = read_parts(source.path)
    assert (len(file.tensors), size) == (2, source.weights_bytes_on_disk)


def test_files_are_listed(tmp_path: Path, path: Path) -> None:
    inner = tmp_path / "org" / "name"
    inner.mkdir(parents=True)
    (inner / "b.GGUF").write_bytes(path.read_bytes())
    (inner / "broken.gguf").write_bytes(path.read_bytes()[:-100])
    (inner / ".hidden.gguf").write_bytes(b"")
    models = [entry for entry in local_models([tmp_path], environ={}, synthetic=False) if entry.kind == "gguf"]
    found = {Path(model.path).name: model for model in models}
    assert set(found) == {"model.gguf", "b.GGUF", "broken.gguf"}
    assert (found["model.gguf"].architecture, found["model.gguf"].dtype) == ("qwen2", "q8_0")
    assert found["b.GGUF"].complete
    assert not found["broken.gguf"].complete
    assert "cut short" in found["broken.gguf"].problem
    assert all("\x1b" not in str(model) for model in models)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "ends in the middle"),
        (b"PK\x03\x04" + bytes(40), "does not begin with GGUF"),
        (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "its version is"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 0), "tensors"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1 << 62), "bytes in one text"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("k") + struct.pack("<IIQ", 9, 4, 1 << 25), "ends in the middle"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("k") + struct.pack("<IIQ", 9, 9, 1), "unknown type 9"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("k\x1b[2J") + struct.pack("<I", 77), "unknown type 77"),
        (gguf(METADATA, TENSORS, cut=200), "cut short"),
        (gguf({"general.alignment": 0}, {}), "general.alignment"),
    ],
)
def test_damaged_files_are_refused_with_the_reason(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=problem) as caught:
        read_gguf(path)
    assert "\x1b" not in caught.value.message


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"general.architecture": ""}, "no general.architecture"),
        ({"qwen2.block_count": 0}, "qwen2.block_count is 0"),
        ({"qwen2.embedding_length": "wide"}, "qwen2.embedding_length is wide"),
    ],
)
def test_metadata_that_makes_no_model(tmp_path: Path, change: dict[str, object], problem: str) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(gguf({**METADATA, **change}, TENSORS))
    with pytest.raises(ModelError, match=problem):
        resolve(str(path))


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_change_of_a_header_brings_anything_but_a_model_error(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = bytearray(gguf(METADATA, TENSORS))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, 900))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("fuzz") / "x.gguf"
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    said = ""
    try:
        shape_of(read_gguf(path))
    except ModelError as error:
        said = error.message
    assert said == "" or said.isprintable()


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    folder = tmp_path / "x.gguf"
    folder.mkdir()
    with pytest.raises(ModelError):
        resolve(str(folder))
