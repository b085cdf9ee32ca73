"""Engines in other Python environments: real interpreters, and files that only look like one."""

import os
import stat
import subprocess
import sys
import time
import venv
from pathlib import Path

import pytest

from infertui import __version__
from infertui.config.schema import EngineConfig
from infertui.errors import ConfigError
from infertui.targets.engine.environments import (
    ask,
    choose,
    chosen,
    chosen_file,
    environment_for,
    interpreter_for,
    is_this,
    probe_all,
    probe_for,
)

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """An environment of variables with a configuration directory of its own."""
    return {**os.environ, "XDG_CONFIG_HOME": str(tmp_path / "config")}


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of another environment, without infertui."""
    folder = tmp_path_factory.mktemp("other") / "env"
    venv.create(folder, with_pip=False, symlinks=True)
    return folder / "bin" / "python"


def site_packages(python: Path) -> Path:
    return next(python.parent.parent.glob("lib/python3*/site-packages"))


def with_infertui(folder: Path) -> Path:
    """The interpreter of an environment in which infertui and what it needs can be imported."""
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    ours = [path for path in sys.path if path.endswith("site-packages")]
    (site_packages(python) / "infertui.pth").write_text("\n".join([str(REPOSITORY), *ours]))
    return python


def script(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_without_a_choice_this_interpreter_runs_the_engine(home: dict[str, str]) -> None:
    assert interpreter_for(EngineConfig(name="vllm"), home) is None
    assert interpreter_for(EngineConfig(name="vllm", python=sys.executable), home) is None
    assert is_this(Path(sys.executable))
    assert probe_for(EngineConfig(name="simulator"), environ=home).available


def test_the_config_counts_before_the_user_s_choice(home: dict[str, str], other: Path) -> None:
    choose("vllm", other, home)
    assert interpreter_for(EngineConfig(name="vllm"), home) == other
    assert interpreter_for(EngineConfig(name="simulator"), home) is None
    assert interpreter_for(EngineConfig(name="vllm", python="/x/python"), home) == Path("/x/python")
    choose("simulator", other, home)
    choose("vllm", None, home)
    assert chosen(home) == {"simulator": other}
    assert not [path for path in chosen_file(home).parent.iterdir() if path.name != "engines.toml"]


@pytest.mark.parametrize("text", ["[vllm", "[vllm]\n", "[vllm]\npython = 3\n", '[vllm]\npython = "relative"\n'])
def test_a_broken_file_of_choices_is_told_and_keeps_nothing_from_starting(home: dict[str, str], text: str) -> None:
    chosen_file(home).parent.mkdir(parents=True)
    chosen_file(home).write_text(text)
    with pytest.raises(ConfigError) as caught:
        interpreter_for(EngineConfig(name="simulator"), home)
    assert str(chosen_file(home)) in str(caught.value)
    found = probe_all(home)
    assert not any(probe.available for probe in found)
    assert all(probe.remedy for probe in found)


def test_an_engine_is_asked_about_in_the_other_environment(home: dict[str, str], tmp_path: Path) -> None:
    python = with_infertui(tmp_path / "env")
    found = probe_for(EngineConfig(name="simulator", python=str(python)), environ=home)
    assert found.available, found
    assert found.versions == {"infertui": __version__}
    unknown = ask("no-such-engine", python, home)
    assert not unknown.available
    assert "there is no engine" in unknown.reason


def test_an_answer_is_kept_until_something_is_installed_there(home: dict[str, str], tmp_path: Path) -> None:
    python = with_infertui(tmp_path / "env")
    engine = EngineConfig(name="simulator", python=str(python))
    first = probe_for(engine, environ=home)
    assert probe_for(engine, environ=home) is first
    assert probe_for(engine, environ=home, fresh=True) is not first
    (site_packages(python) / "new").mkdir()
    os.utime(site_packages(python), (1, 1))
    assert probe_for(engine, environ=home) is not first


def test_a_chatty_interpreter_is_understood_all_the_same(home: dict[str, str], tmp_path: Path) -> None:
    python = with_infertui(tmp_path / "env")
    noise = "import sys; print('{\"token\": 1}' * 5000); sys.stderr.write('\\x1b[2J' * 50000)"
    (site_packages(python) / "sitecustomize.py").write_text(noise)
    assert ask("simulator", python, home).available


def test_variables_about_this_interpreter_do_not_mislead_another(home: dict[str, str], tmp_path: Path) -> None:
    python = with_infertui(tmp_path / "env")
    misled = {**home, "PYTHONHOME": "/nowhere", "PYTHONPATH": str(tmp_path / "bad")}
    (tmp_path / "bad" / "infertui").mkdir(parents=True)
    (tmp_path / "bad" / "infertui" / "__init__.py").write_text("raise SystemExit(3)")
    assert ask("simulator", python, misled).available
    assert environment_for(None, misled) == misled
    assert "PYTHONHOME" not in environment_for(python, misled)


def test_an_environment_without_infertui_says_how_to_install_it(home: dict[str, str], other: Path) -> None:
    found = ask("vllm", other, home)
    assert not found.available
    assert "infertui is not installed there" in found.reason
    assert f"{other} -m pip install infertui" in found.remedy


def test_another_version_of_infertui_is_refused(home: dict[str, str], tmp_path: Path) -> None:
    python = with_infertui(tmp_path / "env")
    (site_packages(python) / "sitecustomize.py").write_text("import infertui\ninfertui.__version__ = '99.0\\x1b[2J'")
    found = ask("simulator", python, home)
    assert not found.available
    assert f"has infertui 99.0, and this is {__version__}" in found.reason
    assert "\x1b" not in found.reason


def test_an_older_infertui_without_this_module_is_of_another_version(home: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "env"
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    (site_packages(python) / "infertui").mkdir()
    (site_packages(python) / "infertui" / "__init__.py").write_text("")
    assert "another version" in ask("simulator", python, home).reason


def test_what_is_no_interpreter(home: dict[str, str], tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("")
    reasons = {
        tmp_path / "missing": "no such file",
        tmp_path: "is a folder",
        plain: "not executable",
        Path("/bin/true"): "not a working Python interpreter",
        script(tmp_path / "garbage", "\x7fELF"): "",
        script(tmp_path / "old", "#!/bin/sh\nfor a; do :; done\neval \"$(printf 'echo ')${a##*print(}\"\n"): "",
    }
    for path, reason in reasons.items():
        found = ask("vllm", path, home)
        assert not found.available
        assert reason in found.reason
        assert str(path) in found.reason
        assert found.remedy


def test_an_old_python_is_refused_by_its_version(home: dict[str, str], tmp_path: Path) -> None:
    real = f'{sys.executable} -I -c "$code"'
    text = (
        "#!/bin/sh\n[ \"$1\" = -P ] && { echo 'Unknown option: -P' >&2; exit 2; }\n"
        f'code="import sys; sys.version_info = (3, 9, 1)\n$3"\nexec {real}\n'
    )
    found = ask("vllm", script(tmp_path / "python3.9", text), home)
    assert "that is Python 3.9" in found.reason
    assert "3.11 or newer" in found.remedy


def test_one_that_hangs_is_given_up_and_leaves_no_process(home: dict[str, str], tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    hanging = script(tmp_path / "python", f"#!/bin/sh\nsleep 600 &\necho $! > {pid}\nwait\n")
    found = ask("vllm", hanging, home, timeout_s=1.0)
    assert "no answer within 1 s" in found.reason
    deadline = time.monotonic() + 10
    while subprocess.run(["kill", "-0", pid.read_text().strip()], capture_output=True, check=False).returncode == 0:
        assert time.monotonic() < deadline, "the interpreter's child lives on"


def test_one_that_never_stops_talking_is_given_up(home: dict[str, str], tmp_path: Path) -> None:
    found = ask("vllm", script(tmp_path / "python", "#!/bin/sh\nexec yes no >&2\n"), home, timeout_s=1.0)
    assert not found.available
    flood = script(tmp_path / "flood", "#!/bin/sh\nyes no | tr -d '\\n' >&$5\n")
    assert not ask("vllm", flood, home, timeout_s=2.0).available
