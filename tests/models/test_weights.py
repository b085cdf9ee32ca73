import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infertui.models.weights import choose_weights, find_weights, stored_parameters


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["model.safetensors", "pytorch_model.bin"], ["model.safetensors"]),
        (["consolidated.safetensors", "model-00001-of-00001.safetensors"], ["model-00001-of-00001.safetensors"]),
        (["model.fp16.safetensors", "model.safetensors"], ["model.safetensors"]),
        (["weights.safetensors"], ["weights.safetensors"]),
        (["adapter_model.safetensors", "pytorch_model.bin", "training_args.bin"], ["pytorch_model.bin"]),
        (["sub/model.safetensors", "model.gguf"], []),
    ],
)
def test_one_copy_of_the_weights_is_chosen(names: list[str], chosen: list[str]) -> None:
    assert choose_weights(names) == chosen


def test_directories_of_that_name_are_no_weights(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").mkdir()
    assert not find_weights(tmp_path).complete


def test_an_index_that_leads_elsewhere_is_not_believed(tmp_path: Path) -> None:
    index = {"weight_map": {"a": "../../etc/passwd", "b": 7, "c": "\x1b[2J.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert find_weights(tmp_path).missing == (".safetensors",)


def test_a_damaged_index_leaves_the_files_themselves(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors.index.json").write_text("[[[")
    (tmp_path / "model.safetensors").write_bytes(b"12345")
    found = find_weights(tmp_path)
    assert (found.complete, found.bytes) == (True, 5)


def test_the_headers_are_counted(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.numpy", reason="writes files with the library itself")
    numpy = pytest.importorskip("numpy", reason="makes the tensors")
    paths = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    safetensors.save_file({"x": numpy.zeros((7, 11), "float16"), "y": numpy.zeros((), "float32")}, paths[0])
    safetensors.save_file({"z": numpy.zeros((5,), "float16")}, paths[1])
    assert stored_parameters(paths) == (7 * 11 + 1 + 5, "float16")
    assert stored_parameters([*paths, tmp_path / "c.bin"]) is None
    assert stored_parameters([tmp_path / "nowhere.safetensors"]) is None


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_a_header_or_not(tmp_path_factory: pytest.TempPathFactory, content: bytes, framed: bool) -> None:
    path = tmp_path_factory.mktemp("w") / "model.safetensors"
    path.write_bytes(len(content).to_bytes(8, "little") + content if framed else content)
    assert stored_parameters([path]) is None


@pytest.mark.parametrize(
    "tensor", [{"dtype": "F32", "shape": [-1]}, {"dtype": "F32", "shape": ["x"]}, {"dtype": 1, "shape": []}, [], None]
)
def test_unsound_headers_are_not_counted(tmp_path: Path, tensor: object) -> None:
    header = json.dumps({"x": tensor}).encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    assert stored_parameters([path]) is None
