import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infertui import paths
from infertui.errors import ModelError
from infertui.models.resolve import read_config, resolve, synthetic_names
from infertui.text import clean

COMMIT = "ab" * 20


def nano() -> dict[str, Any]:
    config: dict[str, Any] = json.loads((paths.data() / "models/nano/config.json").read_text())
    return config


def safetensors(dtype: str = "BF16", **shapes: list[int]) -> bytes:
    """A file of that format, without its tensors' data: nobody here reads it."""
    header = {name: {"dtype": dtype, "shape": shape, "data_offsets": [0, 0]} for name, shape in shapes.items()}
    encoded = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
    return len(encoded).to_bytes(8, "little") + encoded


def make_model(directory: Path, config: object = None, **files: bytes) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps(nano() if config is None else config))
    for name, content in (files or {"model.safetensors": safetensors(weight=[8, 8])}).items():
        (directory / name).write_bytes(content)
    return directory


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub, and a current directory with nothing in it."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "hf/hub"


def make_cached(cache: Path, model_id: str = "acme/tiny", ref: str = "main", **files: bytes) -> Path:
    repo = cache / f"models--{model_id.replace('/', '--')}"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / ref).write_text(COMMIT)
    return make_model(repo / "snapshots" / COMMIT, **files)


def test_synthetic_models_by_name() -> None:
    names = synthetic_names()
    assert names[:3] == ["nano", "nano-moe", "gpt2-124m"]
    assert names[-2:] == ["llama-2-70b", "llama-3-70b"]
    source = resolve("synthetic:gpt2-124m")
    assert source.kind == "synthetic"
    assert source.label == "synthetic:gpt2-124m (random weights)"
    assert source.parameters == 124_439_808
    assert source.path.name == "config.json"
    assert source.config["model_type"] == "gpt2"
    assert source.weights_bytes_on_disk == 0


@pytest.mark.parametrize("name", ["my/config.json", "./my/config.json", "./my", "my/"])
def test_synthetic_models_from_a_config_of_ones_own(cache: Path, name: str) -> None:
    make_model(Path("my"), {**nano(), "num_hidden_layers": 2})
    source = resolve(f"synthetic:{name}")
    assert (source.kind, source.shape.layers) == ("synthetic", 2)
    assert source.path == Path("my/config.json")
    assert source.label == f"synthetic:{name} (random weights)"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("tinylama", "Did you mean synthetic:tinyllama-1.1b?"),
        ("", "Known: nano, nano-moe, gpt2-124m, dialogpt-medium"),
        ("zzz", "Known: nano"),
        ("./nowhere", "there is no file nowhere"),
        ("a/\0", "there is no file"),
        ("x/" * 3000, "there is no file"),
    ],
)
def test_an_unknown_synthetic_model_lists_the_known(cache: Path, name: str, said: str) -> None:
    with pytest.raises(ModelError) as caught:
        resolve(f"synthetic:{name}")
    assert said in str(caught.value)


def test_a_local_directory(cache: Path, tmp_path: Path) -> None:
    directory = make_model(tmp_path / "mine")
    source = resolve(str(directory))
    assert (source.kind, source.path, source.label) == ("local", directory, str(directory))
    assert source.weights_bytes_on_disk == (directory / "model.safetensors").stat().st_size
    assert source.shape.parameters == 4_000_000


def test_a_relative_directory_goes_before_a_cached_model(cache: Path) -> None:
    make_cached(cache)
    make_model(Path("acme/tiny"))
    assert resolve("acme/tiny").kind == "local"


def test_a_directory_without_a_config_does_not_hide_a_cached_model(cache: Path) -> None:
    make_cached(cache)
    Path("acme/tiny").mkdir(parents=True)
    assert resolve("acme/tiny").kind == "hub"


@pytest.mark.parametrize(
    ("files", "missing"),
    [
        ({"README.md": b""}, "*.safetensors or *.bin is missing"),
        ({"training_args.bin": b""}, "*.safetensors or *.bin is missing"),
        (
            {
                "model.safetensors.index.json": json.dumps(
                    {"weight_map": {str(n): f"model-0000{n}-of-00005.safetensors" for n in range(1, 6)}}
                ).encode(),
                "model-00001-of-00005.safetensors": safetensors(),
            },
            "model-00002-of-00005.safetensors, model-00003-of-00005.safetensors, "
            "model-00004-of-00005.safetensors and 1 more are missing",
        ),
    ],
)
def test_what_a_directory_lacks_is_named(cache: Path, tmp_path: Path, files: dict[str, bytes], missing: str) -> None:
    directory = make_model(tmp_path / "mine", **files)
    with pytest.raises(ModelError, match="is incomplete") as caught:
        resolve(str(directory))
    assert missing in caught.value.message


def test_paths_that_hold_no_model_say_why(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter/adapter_config.json").write_text("{}")
    (tmp_path / "file").touch()
    for path, said in [
        ("./nowhere", "does not exist"),
        (str(tmp_path / "file"), "is a file"),
        (str(tmp_path), "has no config.json"),
        (str(tmp_path / "adapter"), "merge it into its base model"),
    ]:
        with pytest.raises(ModelError) as caught:
            resolve(path)
        assert said in str(caught.value)


def test_a_hub_model_is_looked_up_in_the_cache(cache: Path) -> None:
    snapshot = make_cached(cache)
    source = resolve("acme/tiny")
    assert (source.kind, source.path, source.revision) == ("hub", snapshot, COMMIT)
    assert resolve("acme/tiny", COMMIT).path == snapshot
    with pytest.raises(ModelError, match="acme/tiny at revision v2 is not on this machine") as caught:
        resolve("acme/tiny", "v2")
    assert caught.value.remedy == "Run `infertui models pull acme/tiny --revision v2` to download it."


def test_a_branch_and_a_cache_elsewhere(cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "other"))
    make_cached(tmp_path / "other", ref="dev")
    assert resolve("acme/tiny", "dev").revision == COMMIT


def test_a_model_that_is_not_there_gives_the_remedy(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match="gpt2 is not on this machine") as caught:
        resolve("gpt2")
    assert "infertui models pull gpt2" in caught.value.remedy
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelError, match="gpt2 is not on this machine") as caught:
        resolve("gpt2")
    assert "HF_HUB_OFFLINE is set: unset it" in caught.value.remedy
    assert str(cache) in caught.value.remedy


def test_an_incomplete_snapshot_is_pulled_again(cache: Path) -> None:
    snapshot = make_cached(cache)
    (snapshot / "model.safetensors").unlink()
    (snapshot / "model.safetensors").symlink_to("../../blobs/gone")
    with pytest.raises(ModelError, match=r"acme/tiny is incomplete: model\.safetensors is missing") as caught:
        resolve("acme/tiny")
    assert "infertui models pull acme/tiny" in caught.value.remedy


def test_unknown_families_are_counted_from_their_files(cache: Path, tmp_path: Path) -> None:
    config = {key: value for key, value in nano().items() if key != "torch_dtype"}
    directory = make_model(
        tmp_path / "new",
        {**config, "model_type": "brand_new"},
        **{"model.safetensors": safetensors("F16", a=[1000, 30], b=[5])},
    )
    shape = resolve(str(directory)).shape
    assert (shape.parameters, shape.exact, shape.dtype) == (30_005, True, "float16")
    (directory / "model.safetensors").write_bytes(b"\xff" * 100)
    assert not resolve(str(directory)).shape.exact


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[1]", b"null", b'"x"', b"\xff\xfe", b"[" * 100_000, b'{"hidden_size": 1e999}', b"{}", b"\x00" * 50],
)
def test_a_malformed_config_is_one_clear_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(ModelError) as caught:
        resolve(f"synthetic:{tmp_path}")
    assert "config.json" in caught.value.message
    assert "\n" not in caught.value.message


def test_a_config_that_is_no_regular_file_or_too_large_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "large").write_bytes(b" " * (9 << 20))
    (tmp_path / "loop").symlink_to("loop")
    for name in ("fifo", "loop", "nowhere", "."):
        with pytest.raises(ModelError, match="cannot be read"):
            read_config(tmp_path / name)
    with pytest.raises(ModelError, match="larger than"):
        read_config(tmp_path / "large")


@settings(max_examples=200)
@given(st.text(max_size=60))
def test_any_name_gives_a_model_or_one_clear_error(name: str) -> None:
    for model_id in (name, f"synthetic:{name}"):
        with pytest.raises(ModelError) as caught:
            resolve(model_id)
        assert caught.value.message == clean(caught.value.message)
        assert caught.value.remedy


def test_nothing_heavy_is_imported() -> None:
    code = (
        "import sys; from infertui.models.resolve import resolve; from infertui.models.local import local_models; "
        "resolve('synthetic:nano'); local_models(); "
        "import infertui.models.memory.estimate, infertui.cli.machine.models; "
        "print([name for name in ('huggingface_hub', 'torch', 'transformers', 'numpy', 'rich.progress', 'pynvml') "
        "if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
