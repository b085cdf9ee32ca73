"""What marks the content of a model's files: other for other content, the same for a copy."""

import json
import os
import shutil
from pathlib import Path

import pytest
from support.sample_gguf import METADATA, TENSORS, gguf, write_sample

from infertui.models.content import content_mark
from infertui.models.resolve import resolve
from infertui.paths import data


def mark(path: Path | str) -> str:
    return content_mark(resolve(str(path)))


def test_a_copy_has_the_same_mark_whatever_its_name_and_time(tmp_path: Path) -> None:
    first = write_sample(tmp_path / "a.gguf")
    copy = Path(shutil.copy(first, tmp_path / "b.gguf"))
    os.utime(copy, (1, 1))
    assert mark(first) == mark(copy) != ""


@pytest.mark.parametrize(
    "other",
    [
        gguf({**METADATA, "general.name": "b"}, TENSORS),
        gguf(METADATA, {**TENSORS, "blk.0.ffn_gate.weight": ((96, 64), 8)}),
        gguf(METADATA, TENSORS) + bytes(32),
    ],
    ids=["metadata", "a tensor's type", "size alone"],
)
def test_another_file_of_the_same_name_has_another(tmp_path: Path, other: bytes) -> None:
    path = write_sample(tmp_path / "a.gguf")
    before = mark(path)
    path.write_bytes(other)
    assert mark(path) != before


def test_a_folder_is_marked_by_its_config_and_the_heads_of_its_weights(tmp_path: Path) -> None:
    config = json.loads((data() / "models" / "nano" / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config))
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(bytes(1 << 21))
    seen = [mark(tmp_path)]
    weights.write_bytes(b"\x01" + bytes((1 << 21) - 1))
    seen.append(mark(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps(config | {"initializer_range": 0.5}))
    seen.append(mark(tmp_path))
    assert len(set(seen)) == 3


def test_a_shipped_model_is_marked_by_its_config() -> None:
    assert mark("synthetic:nano") == mark("synthetic:nano") != mark("synthetic:gpt2-124m")


def test_what_is_gone_meanwhile_has_none(tmp_path: Path) -> None:
    source = resolve(str(write_sample(tmp_path / "a.gguf")))
    source.path.unlink()
    assert content_mark(source) == ""
