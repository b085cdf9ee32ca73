import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from infertui.models.hub.cache import cache_dir, is_model_id, is_offline, is_revision, model_id_of, repo_dir

ENVIRONMENTS: list[dict[str, str]] = [
    {},
    {"HF_HOME": "/data/hf"},
    {"HF_HOME": "~/x"},
    {"HF_HOME": "$HOME/y"},
    {"XDG_CACHE_HOME": "/cache"},
    {"HF_HUB_CACHE": "/hub", "HF_HOME": "/data/hf"},
    {"HUGGINGFACE_HUB_CACHE": "/old"},
    {"HF_HUB_CACHE": "/hub", "HUGGINGFACE_HUB_CACHE": "/old"},
    {"HF_HUB_OFFLINE": "1"},
    {"HF_HUB_OFFLINE": "0", "TRANSFORMERS_OFFLINE": "yes"},
    {"TRANSFORMERS_OFFLINE": "on"},
    {"HF_HUB_OFFLINE": "nonsense"},
]


@pytest.mark.parametrize("environ", ENVIRONMENTS)
def test_the_variables_mean_what_huggingface_hub_takes_them_for(environ: dict[str, str]) -> None:
    code = (
        "from huggingface_hub import constants as c; import json; print(json.dumps([c.HF_HUB_CACHE, c.HF_HUB_OFFLINE]))"
    )
    full = {"HOME": os.environ.get("HOME", "/"), "PATH": os.environ["PATH"], **environ}
    done = subprocess.run([sys.executable, "-c", code], env=full, capture_output=True, text=True, check=True)
    assert [str(cache_dir(environ)), is_offline(environ)] == json.loads(done.stdout)


def test_ids_and_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", "/hub")
    assert repo_dir("acme/tiny-1.1b") == Path("/hub/models--acme--tiny-1.1b")
    assert model_id_of(repo_dir("acme/tiny-1.1b")) == "acme/tiny-1.1b"
    assert model_id_of(Path("/hub/datasets--acme--x")) is None
    assert all(map(is_model_id, ["gpt2", "acme/tiny", "a/b.c_d-1"]))
    assert not any(map(is_model_id, ["", "a--b", "a/b/c", "../x", "a..b", "a.git", "a b", ".hidden", "a/", "é"]))
    assert all(map(is_revision, ["main", "refs/pr/1", "v1.0", "ab" * 20]))
    assert not any(map(is_revision, ["", "../x", "a/../b", "/etc", "a b", "-x"]))
