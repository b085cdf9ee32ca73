"""Engines of other packages: the example of the docs, installed and run; and broken ones, which do no harm."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from support.runs import clean_environment, infertui

PAGE = Path(__file__).parents[3] / "docs" / "writing-an-engine.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)


def install(folder: Path, name: str, entry_points: dict[str, str]) -> None:
    """As an installer does it: the package's metadata beside its modules."""
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = "".join(f"{key} = {value}\n" for key, value in entry_points.items())
    (info / "entry_points.txt").write_text(f"[infertui.engines]\n{lines}")


@pytest.fixture
def metronome(tmp_path: Path) -> dict[str, str]:
    """An environment in which the documented package is installed."""
    (source,) = blocks("python")
    packaging = next(tomllib.loads(text) for text in blocks("toml") if "infertui_metronome" in text)["project"]
    site = tmp_path / "site"
    install(site, packaging["name"], packaging["entry-points"]["infertui.engines"])
    (site / "infertui_metronome.py").write_text(source)
    return clean_environment(PYTHONPATH=str(site), XDG_CONFIG_HOME=str(tmp_path / "config"))


def python(code: str, environment: dict[str, str], cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=cwd, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_example_is_about_as_short_as_it_claims() -> None:
    (source,) = blocks("python")
    assert sum(bool(line.strip()) for line in source.splitlines()) <= 62


def test_the_documented_engine_is_measured_by_the_real_runner(tmp_path: Path, metronome: dict[str, str]) -> None:
    done = infertui(
        *("run", "--engine", "metronome", "--set", "engine.metronome.tokens_per_second=500", "--osl", "8"),
        *("--iterations", "3", "--warmup", "1", "--device", "cpu", "--json"),
        cwd=tmp_path,
        environment=metronome,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["loaded"]["engine"] == "metronome"
    assert result["state"] == "finished"
    assert result["summary"]["latency"]["mean"] >= 8 / 500
    text = (tmp_path / "reports" / result["id"] / "run.toml").read_text()
    table = tomllib.loads(text)["engine"]
    assert table["metronome"] == {"tokens_per_second": 500.0}
    assert not {"transformers", "simulator", "mode"} & set(table)
    assert "# tokens of a sequence a second" in text


def test_the_documented_engine_is_everywhere_that_engines_are_shown(tmp_path: Path, metronome: dict[str, str]) -> None:
    said = {
        words: infertui(*words, cwd=tmp_path, environment=metronome).stdout
        for words in (("config", "keys"), ("engines",), ("engines", "metronome"), ("doctor",), ("config", "schema"))
    }
    assert "engine.metronome.tokens_per_second = 100.0" in said["config", "keys"]
    assert "metronome" in said["engines",]
    assert "tokens of a sequence a second" in said["engines", "metronome"]
    assert "tokens at a steady rate" in said["doctor",]
    assert "tokens_per_second" in said["config", "schema"]
    refused = infertui("run", "--engine", "metronome", "--mode", "eager", cwd=tmp_path, environment=metronome)
    assert "metronome takes no engine.mode" in refused.stderr
    too_much = infertui(
        "run", "--set", "engine.metronome.tokens_per_second=0", cwd=tmp_path, environment=metronome
    ).stderr
    assert "a number above 0, at most 1000000" in too_much
    code = (
        "from infertui.tui.config.form.base import from_preset; from infertui.tui.config.form.form import Form\n"
        "from infertui.tui.config.form.view import View, build_rows\n"
        "form, view = Form(from_preset('demo', {})), View()\n"
        "view.toggle('advanced')\n"
        "def rows(): return [(row.id, row.text) for row in build_rows(form, view, 80) if 'metro' in row.id]\n"
        "print(len(rows())); form.set('engine.name', 'metronome'); print(rows())"
    )
    shown = python(code, metronome, tmp_path)
    assert shown.startswith("0\n")
    assert "('#metronome', 'how fast it ticks'), ('engine.metronome.tokens_per_second', '')" in shown


_HEAD = """
from typing import Annotated
from msgspec import Meta
from infertui.config.engines.spec import EngineSpec
from infertui.config.section import Section
class O(Section, frozen=True):
    "Options."
    x: {option}
SPEC = EngineSpec(name={name!r}, summary="s", module=__name__, options=O, common={common})
"""
_GOOD = 'Annotated[int, Meta(ge=0, le=9, description="d")] = 1'


def described(option: str = _GOOD, name: str = "broken", common: str = "{}") -> str:
    return _HEAD.format(option=option, name=name, common=common)


BROKEN = {
    "import_error": ("import no_such_library", "no_such_library"),
    "leaves": ("raise SystemExit(3)", "SystemExit"),
    "raises": ("raise RuntimeError('\\x1b[2Jboom')", "boom"),
    "wrong_object": ("SPEC = 3", "no EngineSpec"),
    "nothing": ("", "SPEC"),
    "clash": (described(name="transformers"), "already is an engine transformers"),
    "key_clash": (described(name="mode"), "engine.mode"),
    "odd_name": (described(name="A b"), "small letters"),
    "a_list": (described('Annotated[list[int], Meta(description="d")] = []'), "option x: its type"),
    "a_table": (described('Annotated[dict[str, int], Meta(description="d")] = {}'), "option x: its type"),
    "optional": (described('Annotated[int | None, Meta(description="d")] = None'), "option x: of unions"),
    "no_limits": (described('Annotated[int, Meta(description="d")] = 1'), "option x: a number needs both limits"),
    "no_words": (described("int = 1"), "option x: it has no description"),
    "no_default": (described('Annotated[bool, Meta(description="d")]'), "TypeError"),
    "outside": (described('Annotated[int, Meta(ge=0, le=9, description="d")] = 10'), "outside its limits"),
    "odd_lever": (described(common="{'speed': ()}"), "no common option speed"),
    "odd_words": (described(common="{'mode': (1,)}"), "the words of the common option mode"),
}


def test_broken_packages_keep_nothing_from_starting_and_doctor_tells_them(tmp_path: Path) -> None:
    site = tmp_path / "site"
    for name, (source, _) in BROKEN.items():
        install(site, f"broken-{name.replace('_', '-')}", {name: f"broken_{name}:SPEC"})
        (site / f"broken_{name}.py").write_text(source)
    (site / "torn-1.0.dist-info").mkdir()
    (site / "torn-1.0.dist-info" / "entry_points.txt").write_bytes(b"[infertui.engines]\n\xff\xfe = ")
    environment = clean_environment(PYTHONPATH=str(site), XDG_CONFIG_HOME=str(tmp_path))
    done = infertui("doctor", "--json", cwd=tmp_path, environment=environment)
    assert done.returncode == 0, done.stderr
    findings = [finding for finding in json.loads(done.stdout) if finding["area"] == "engine"]
    told = "\n".join(finding["detail"] for finding in findings if finding["name"] == "plug-in")
    assert "\x1b" not in told
    assert "torn-1.0.dist-info: its entry points cannot be read" in told
    for name, (_, reason) in BROKEN.items():
        line = next(line for line in told.splitlines() if line.startswith(f"{name}: "))
        assert reason in line
    assert "simulator" in {finding["name"] for finding in findings if finding["ok"]}
