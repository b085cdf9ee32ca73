"""Images and compose file: what they say is what the program understands, and harmless for the user's files."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from infertui import paths
from infertui.cli.main import app
from infertui.targets.engine.tensorrt_llm.installation import CONTAINER

ROOT = Path(__file__).parents[1]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, Any] = {name: one for name, one in COMPOSE["services"].items() if "build" in one}
MONITOR: dict[str, Any] = {name: one for name, one in COMPOSE["services"].items() if "build" not in one}
"""Images of others."""
PROFILES = {
    "baseline", "trtllm", "bench", "dev", "auto", "build-only", "pytorch-only", "tensorrt-only", "compare-only",
    "manual", "cpu",
}  # fmt: skip
WITHOUT_GPU = {"cpu", "compare-only"}
WITH_TENSORRT_LLM = {"trtllm", "bench", "build-only", "tensorrt-only"}
SHELLS = {"manual", "dev"}
VARIABLES = {"MODEL_ID", "BATCH_SIZE", "MAX_NEW_TOKENS", "TRT_PRECISION", "CUDA_VISIBLE_DEVICES", "HF_TOKEN"}
DOCKERFILES = {path.name: path.read_text(encoding="utf-8") for path in sorted(ROOT.glob("Dockerfile*"))}


def unset(text: str) -> str:
    """As compose reads it where no variable is set: `${NAME:-default}` is its default, `$$` a dollar."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text).replace("$$", "$")


def test_every_profile_has_the_service_of_its_name() -> None:
    assert {name: service["profiles"] for name, service in SERVICES.items()} == {name: [name] for name in PROFILES}


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_what_a_service_runs_is_understood(name: str) -> None:
    service = SERVICES[name]
    command = [unset(word) for word in service["command"]]
    if name in SHELLS:
        assert (service["entrypoint"], command) == (["bash"], [])
        return
    calls = [command]
    if "entrypoint" in service:
        shell, flag, script = service["entrypoint"]
        assert (shell, flag) == ("sh", "-c")
        for number, word in enumerate(command):
            script = unset(script).replace(f'"${number}"', word)
        calls = [call.split() for call in re.findall(r"infertui ([^&]*)", script)]
        assert len(calls) == 2
    for call in calls:
        done = CliRunner().invoke(app, [*call, "--help"])  # options are looked at first
        assert done.exit_code == 0, (call, done.output)
        if call[0] == "run":
            assert (paths.data() / "presets" / f"{call[1]}.toml").is_file(), call


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_a_service_gets_what_it_needs_and_no_more(name: str) -> None:
    service = SERVICES[name]
    assert service["user"] == "${UID:-1000}:${GID:-1000}"
    assert set(service["environment"]) >= VARIABLES
    assert not {"privileged", "cap_add", "network_mode", "pid"} & service.keys()
    assert ("deploy" in service) == (name not in WITHOUT_GPU)
    dockerfile = service["build"].get("dockerfile", "Dockerfile")
    assert (dockerfile == "Dockerfile.trtllm") == (name in WITH_TENSORRT_LLM)
    places = dict(reversed(volume.rsplit(":", 1)) for volume in service["volumes"])
    # A folder of the host that is not there would be made by the engine, as root: only this one is mounted.
    assert places.keys() == {"/runs", "/models", "/cache", "/state"}
    assert places["/runs"] == "."
    assert {unset(volume) for place, volume in places.items() if place != "/runs"} <= COMPOSE["volumes"].keys()


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_the_arguments_of_a_build_are_those_of_its_dockerfile(name: str) -> None:
    build = SERVICES[name]["build"]
    text = DOCKERFILES[build.get("dockerfile", "Dockerfile")]
    assert build["args"].keys() <= set(re.findall(r"^ARG (\w+)", text, re.MULTILINE))
    (base,) = re.findall(r"^ARG BASE=(\S+)$", text, re.MULTILINE)
    assert unset(build["args"]["BASE"]) == base


@pytest.mark.parametrize("name", sorted(DOCKERFILES))
def test_an_image_is_pinned_unprivileged_and_made_of_what_is_sent(name: str) -> None:
    text = DOCKERFILES[name]
    assert set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) == {"${BASE}"}  # by digest where one is given
    assert "latest" not in text
    assert re.findall(r"^USER (\S+)", text, re.MULTILINE) == ["1000:1000"]
    assert "-c constraints.txt" in text
    assert '["infertui", "status", "--check"]' in text
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in ignored
    copied = {word for line in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE) for word in line.split()}
    assert copied <= {line.removeprefix("!") for line in ignored if line.startswith("!")}
    assert {word for word in copied if not (ROOT / word).exists()} == set()
    (made,) = re.findall(r"install -d -m 0777 ([/\w ]+)", text)
    assert {"/models", "/cache", "/state", "/runs"} <= set(made.split())  # of any user: who it is shows when it runs


def test_tensorrt_llm_is_of_the_version_that_its_engine_names() -> None:
    assert f"ARG BASE={CONTAINER}\n" in DOCKERFILES["Dockerfile.trtllm"]
    assert "NOT BUILT OR RUN BY US" in DOCKERFILES["Dockerfile.trtllm"]


def test_what_monitors_is_pinned_reads_what_is_there_and_listens_on_the_loopback_alone() -> None:
    assert MONITOR.keys() == {"prometheus", "grafana"}
    for service in MONITOR.values():
        assert service["profiles"] == ["monitor"]
        assert re.search(r":v?\d+\.\d+\.\d+$", unset(service["image"]))
        assert service["network_mode"] == "host"
        assert "ports" not in service
        for volume in service["volumes"]:
            place, *_, mode = volume.split(":")
            if place.startswith("."):
                assert (ROOT / place).exists()
                assert mode == "ro"
            else:
                assert place in COMPOSE["volumes"]
    assert "--web.listen-address=127.0.0.1:9090" in MONITOR["prometheus"]["command"]
    assert "GF_SERVER_HTTP_ADDR=127.0.0.1" in MONITOR["grafana"]["environment"]


def compose_command() -> list[str]:
    if shutil.which("docker") and subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0:
        return ["docker", "compose"]
    return ["docker-compose"] if shutil.which("docker-compose") else []


@pytest.mark.skipif(not compose_command(), reason="neither docker compose nor docker-compose is installed")
@pytest.mark.parametrize("values", [{}, {"UID": "4711", "GID": "42", "HF_HOME": "/data/hf", "MODEL_ID": "acme/tiny"}])
def test_compose_itself_takes_every_profile(tmp_path: Path, values: dict[str, str]) -> None:
    shutil.copy(ROOT / "compose.yaml", tmp_path)
    (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in values.items()))
    asked = [word for name in sorted(PROFILES) for word in ("--profile", name)]
    command = [*compose_command(), *asked, "config"]
    environ = {"PATH": "/usr/bin:/bin:/usr/local/bin", "HOME": str(tmp_path)}
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    seen = yaml.safe_load(done.stdout)["services"]
    assert seen.keys() == PROFILES
    user = f"{values.get('UID', '1000')}:{values.get('GID', '1000')}"
    assert {service["user"] for service in seen.values()} == {user}
    model = values.get("MODEL_ID")
    assert {service["environment"].get("MODEL_ID") for service in seen.values()} == {model}
    assert ("/data/hf" in done.stdout) == ("HF_HOME" in values)
