import json
import os
from pathlib import Path

import pytest

from infertui import paths
from infertui.models.local import LocalModel, local_models
from infertui.models.resolve import synthetic_names
from infertui.text import clean

NANO = (paths.data() / "models/nano/config.json").read_text()
COMMIT = "ab" * 20


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "INFERTUI_MODELS_DIR", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "hf/hub"


def make_repo(cache: Path, name: str, files: dict[str, bytes], *, ref: bool = True) -> Path:
    """As huggingface_hub lays it out: content in blobs/, links to it in snapshots/."""
    repo = cache / name
    snapshot = repo / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (repo / "blobs").mkdir()
    for number, (file, content) in enumerate(files.items()):
        (repo / "blobs" / str(number)).write_bytes(content)
        (snapshot / file).symlink_to(f"../../blobs/{number}")
    if ref:
        (repo / "refs").mkdir()
        (repo / "refs/main").write_text(COMMIT)
    return repo


def found() -> dict[str, LocalModel]:
    return {model.id: model for model in local_models(synthetic=False)}


def test_an_empty_machine_has_the_synthetic_models(cache: Path) -> None:
    models = local_models()
    assert [model.id for model in models] == [f"synthetic:{name}" for name in synthetic_names()]
    assert all(model.complete and model.size_bytes == 0 for model in models)


def test_cached_models_with_size_and_shape(cache: Path) -> None:
    repo = make_repo(cache, "models--acme--tiny", {"config.json": NANO.encode(), "model.safetensors": b"x" * 5000})
    os.utime(repo / "blobs/1", (1_700_000_000, 1_600_000_000))
    model = found()["acme/tiny"]
    assert model == LocalModel(
        "acme/tiny", "hub", str(repo / "snapshots" / COMMIT), 5000 + len(NANO) + 40, complete=True,
        architecture="llama", parameters=4_000_000, parameters_exact=True, dtype="bfloat16", revision=COMMIT,
        last_used=1_700_000_000.0,
    )  # fmt: skip


def test_a_snapshot_without_a_ref_is_found(cache: Path) -> None:
    make_repo(cache, "models--acme--tiny", {"config.json": NANO.encode(), "model.safetensors": b""}, ref=False)
    assert found()["acme/tiny"].complete


def test_unfinished_downloads_are_marked(cache: Path) -> None:
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    repo = make_repo(
        cache,
        "models--acme--half",
        {
            "config.json": NANO.encode(),
            "model.safetensors.index.json": json.dumps(index).encode(),
            "model-00001-of-00002.safetensors": b"x",
        },
    )
    (repo / "blobs/9.incomplete").write_bytes(b"y" * 100)
    (cache / "models--acme--begun/blobs").mkdir(parents=True)
    (cache / "models--acme--begun/blobs/1.incomplete").write_bytes(b"y" * 100)
    (cache / "models--acme--nothing").mkdir()
    models = found()
    assert not models["acme/half"].complete
    assert models["acme/half"].problem == "download unfinished; model-00002-of-00002.safetensors is missing"
    assert (models["acme/begun"].complete, models["acme/begun"].problem) == (False, "download unfinished")
    assert models["acme/begun"].size_bytes == 100
    assert "acme/nothing" not in models


def test_what_is_broken_is_listed_with_its_problem(cache: Path) -> None:
    make_repo(cache, "models--a--json", {"config.json": b"{", "model.safetensors": b"x"})
    make_repo(cache, "models--a--other", {"config.json": b'{"model_type": "vae"}', "model.safetensors": b"x"})
    make_repo(cache, "models--a--noconfig", {"model.safetensors": b"x"})
    make_repo(cache, "models--a--noweights", {"config.json": NANO.encode()})
    broken = make_repo(cache, "models--a--broken", {"config.json": NANO.encode(), "model.safetensors": b"x"})
    (broken / "blobs/1").unlink()
    loop = make_repo(cache, "models--a--loop", {"config.json": NANO.encode(), "model.safetensors": b"x"})
    (loop / "blobs/1").unlink()
    (loop / "blobs/1").symlink_to("1")
    make_repo(cache, "models--a\x1b]0;evil\x07--b\n", {"config.json": b"{", "x\x1b[2J.bin": b"x"})
    make_repo(cache, "datasets--a--d", {"data.txt": b"x"})
    (cache / "models--a--file").write_text("not a directory")
    (cache / "models--a--dangling").symlink_to("nowhere")
    (cache / "version.txt").write_text("1")

    models = found()

    assert "not valid JSON" in models["a/json"].problem
    assert models["a/other"].problem.startswith("config.json: there is no num_hidden_layers")
    assert models["a/noconfig"].problem == "no config.json"
    assert models["a/noweights"].problem == "*.safetensors or *.bin is missing"
    assert models["a/broken"].problem == models["a/loop"].problem == "model.safetensors is missing"
    assert all(not model.complete for model in models.values())
    assert len(models) == 7
    for model in models.values():
        for text in (model.id, model.path, model.problem, model.architecture):
            assert text == clean(text)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_directories_that_may_not_be_read_are_skipped(cache: Path) -> None:
    repo = make_repo(cache, "models--acme--tiny", {"config.json": NANO.encode()})
    (repo / "snapshots").chmod(0)
    try:
        assert "acme/tiny" not in found() or not found()["acme/tiny"].complete
    finally:
        (repo / "snapshots").chmod(0o755)


def test_directories_named_by_the_user(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def make(directory: Path) -> Path:
        directory.mkdir(parents=True)
        (directory / "config.json").write_text(NANO)
        (directory / "model.safetensors").write_bytes(b"x" * 10)
        return directory

    mine = [make(tmp_path / "a/one"), make(tmp_path / "a/org/two"), make(tmp_path / "b"), make(Path("models/three"))]
    make(tmp_path / "a/.hidden")
    (tmp_path / "a/link").symlink_to(tmp_path / "a/one")
    monkeypatch.setenv("INFERTUI_MODELS_DIR", f"{tmp_path / 'a'}:{tmp_path / 'b'}::{tmp_path / 'nowhere'}:~nobody/x")

    models = found()

    assert {Path(name).resolve() for name in models} == {path.resolve() for path in mine}
    assert "models/three" in models
    assert all(model.kind == "local" and model.complete for model in models.values())
    assert local_models([tmp_path / "b"], environ={"HF_HOME": "/nowhere"}, synthetic=False)[0].id == str(tmp_path / "b")


def test_what_is_listed_resolves(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from infertui.models.resolve import resolve

    make_repo(cache, "models--acme--tiny", {"config.json": NANO.encode(), "model.safetensors": b"x"})
    Path("models").mkdir()
    Path("models/config.json").write_text(NANO)
    Path("models/pytorch_model.bin").write_bytes(b"x")
    for model in local_models():
        assert resolve(model.id).kind == model.kind
