"""What is said of a host and of a container: by stand-ins for the programs that are asked, on a PATH of their own."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from infertui.cli.machine.container_checks import examine_containers
from infertui.cli.machine.doctor import Check
from infertui.cli.main import app
from infertui.telemetry.nvml import Nvml, NvmlUnavailableError

INFO: dict[str, Any] = {"ServerVersion": "29.1.0", "Runtimes": {"runc": {}, "nvidia": {}}, "ServerErrors": None}


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """A folder without anything; a driver only where the test has one."""

    def no_driver() -> Nvml:
        raise NvmlUnavailableError("no driver in this test")

    monkeypatch.chdir(tmp_path)
    if "stub_settings" not in request.fixturenames:
        monkeypatch.setattr(Nvml, "open", no_driver)


def program(folder: Path, name: str, script: str) -> None:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def docker(folder: Path, info: object, *, compose: bool = True, errors: str = "") -> None:
    """A client of Docker, and what its engine says of itself."""
    (folder / "info.json").write_text(json.dumps(info))
    program(
        folder / "bin",
        "docker",
        'case "$1" in\n'
        '--version) echo "Docker version 29.1.0, build 1";;\n'
        f"compose) {'echo Docker Compose version v5.0.0' if compose else 'exit 1'};;\n"
        f'info) while IFS= read -r line || [ -n "$line" ]; do echo "$line"; done < {folder}/info.json; '
        f"echo '{errors}' >&2; exit {1 if errors else 0};;\n"
        "esac",
    )


def seen(tmp_path: Path, **environ: str) -> dict[str, Check]:
    variables = {"PATH": str(tmp_path / "bin"), "HOME": str(tmp_path), **environ}
    return {check.name: check for check in examine_containers(tmp_path / "root", variables)}


def test_an_empty_host_is_told_what_to_install(tmp_path: Path) -> None:
    found = seen(tmp_path)
    assert {name for name in found if not found[name].ok} >= {"docker", "compose", "container toolkit", "NGC login"}
    assert "docs.docker.com/engine/install" in found["docker"].remedy
    assert "docker-compose-plugin" in found["compose"].remedy
    assert "nvidia-ctk runtime configure --runtime=docker" in found["container toolkit"].remedy
    assert "docker login nvcr.io (user $oauthtoken" in found["NGC login"].remedy


def test_a_host_with_everything_has_no_remedy(tmp_path: Path, stub_settings: Callable[..., None]) -> None:
    docker(tmp_path, {**INFO, "DockerRootDir": str(tmp_path)})
    program(tmp_path / "bin", "nvidia-ctk", 'echo "NVIDIA Container Toolkit CLI version 1.18.0"')
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker/config.json").write_text(json.dumps({"auths": {"nvcr.io": {"auth": "c2VjcmV0"}}}))
    stub_settings()
    found = seen(tmp_path, UID=str(os.getuid()), GID=str(os.getgid()))
    assert {name for name, check in found.items() if not check.ok} <= {"disk"}
    assert found["docker"].detail == "Docker version 29.1.0, build 1, engine 29.1.0"
    assert found["compose"].detail == "Docker Compose version v5.0.0"
    assert found["container toolkit"].detail == "NVIDIA Container Toolkit CLI version 1.18.0"
    assert found["driver"].detail.startswith("NVIDIA driver 5")
    assert "c2VjcmV0" not in str(found)


@pytest.mark.parametrize(
    ("info", "errors", "remedy"),
    [
        ({"ServerErrors": ["permission denied while trying to connect to the socket"]}, "", "usermod -aG docker"),
        ({"ServerErrors": ["Cannot connect to the Docker daemon"]}, "", "systemctl enable --now docker"),
        ({}, "Cannot connect to the Docker daemon", "systemctl enable --now docker"),
        ([], "", "systemctl enable --now docker"),
    ],
)
def test_an_engine_that_cannot_be_reached_is_told_apart(tmp_path: Path, info: object, errors: str, remedy: str) -> None:
    docker(tmp_path, info, errors=errors)
    found = seen(tmp_path)["docker"]
    assert not found.ok
    assert remedy in found.remedy


def test_a_toolkit_that_docker_does_not_know_is_to_be_made_known(tmp_path: Path) -> None:
    docker(tmp_path, {**INFO, "Runtimes": {"runc": {}}}, compose=False)
    program(tmp_path / "bin", "nvidia-ctk", "echo toolkit")
    program(tmp_path / "bin", "docker-compose", 'echo "docker-compose version 1.29.2"')
    found = seen(tmp_path)
    assert "does not know its runtime" in found["container toolkit"].detail
    assert found["container toolkit"].remedy.startswith("sudo nvidia-ctk runtime configure")
    assert found["compose"].detail == "docker-compose version 1.29.2"
    (tmp_path / "root/etc/cdi").mkdir(parents=True)
    (tmp_path / "root/etc/cdi/nvidia.yaml").touch()
    assert seen(tmp_path)["container toolkit"].ok


def test_who_containers_run_as_is_held_against_who_asks(tmp_path: Path) -> None:
    other = seen(tmp_path, UID="4711", GID="4711")["user"]
    assert not other.ok
    assert "runs containers as 4711:4711, and you are" in other.detail
    assert ">> .env" in other.remedy


def test_a_login_that_cannot_be_read_is_no_login(tmp_path: Path) -> None:
    (tmp_path / ".docker/config.json").mkdir(parents=True)
    assert not seen(tmp_path)["NGC login"].ok


def test_a_container_is_told_what_it_lacks(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root/.dockerenv").touch()
    found = seen(tmp_path, NVIDIA_VISIBLE_DEVICES="void", HF_HOME=str(tmp_path / "models"))
    assert found["container"].detail == "docker"
    assert "NVIDIA_VISIBLE_DEVICES=void hides them" in found["GPU"].remedy
    assert "--gpus all" in found["GPU"].remedy
    assert found["models"].ok
    assert "docker" not in found
    assert found["user"].ok == (os.geteuid() != 0)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_of_somebody_else_is_named_with_its_owner(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root/.dockerenv").touch()
    found = seen(tmp_path, XDG_CACHE_HOME="/")
    assert "It belongs to user 0" in found["cache"].remedy


def test_the_command_says_it_in_words_and_as_json() -> None:
    told = CliRunner().invoke(app, ["doctor", "--container", "--json"])
    assert told.exit_code == 0
    assert {entry["area"] for entry in json.loads(told.stdout)} == {"container"}
