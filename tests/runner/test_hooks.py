"""Hooks over a real runner: real programs, told by their environment and standard input."""

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.runs import simulated
from support.scenes import HOSTILE, entry, sweep

from infertui.config.sweep import Variant
from infertui.errors import ConfigError
from infertui.runner.control import Submission
from infertui.runner.hooks import MAX_BYTES, MOST_HOOKS, Hook, HookEvent, Hooks, read_hooks
from infertui.runner.runner import Runner

KEEP = """
import json, os, sys
told = json.load(sys.stdin)
names = {name: value for name, value in os.environ.items() if name.startswith("INFERTUI_")}
with open(sys.argv[1], "a") as file:
    file.write(json.dumps([told, names, sys.argv[2:]]) + "\\n")
"""


def keeping(path: Path, on: HookEvent = "study", *more: str) -> Hook:
    return Hook((sys.executable, "-c", KEEP, str(path), *more), on)


def kept(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def written(tmp_path: Path, text: str) -> dict[str, str]:
    folder = tmp_path / "infertui"
    folder.mkdir()
    (folder / "hooks.toml").write_text(text)
    return {"XDG_CONFIG_HOME": str(tmp_path)}


def test_without_a_file_there_are_none(tmp_path: Path) -> None:
    assert read_hooks({"XDG_CONFIG_HOME": str(tmp_path)}) == ()


def test_a_file_names_programs_and_when(tmp_path: Path) -> None:
    text = '[[hook]]\ncommand = ["/bin/tell", "a b"]\n[[hook]]\ncommand = ["x"]\non = "run"\n'
    assert read_hooks(written(tmp_path, text)) == (Hook(("/bin/tell", "a b")), Hook(("x",), "run"))


@pytest.mark.parametrize(
    "text",
    [
        "[[hook]]",
        "hook = 1",
        '[[hook]]\ncommand = "rm -rf"',
        "[[hook]]\ncommand = []",
        '[[hook]]\ncommand = [""]',
        '[[hook]]\ncommand = ["a\\u0000"]',
        '[[hook]]\ncommand = ["x"]\non = "never"',
        '[[hook]]\ncommand = ["x"]\nshell = true',
        '[[hook]]\ncommand = ["x"]\n' * (MOST_HOOKS + 1),
        "not toml",
        "x" * (MAX_BYTES + 1),
    ],
)
def test_a_wrong_file_is_told_and_does_nothing(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"hooks\.toml") as told:
        read_hooks(written(tmp_path, text))
    assert "\n" not in told.value.message

    async def scenario() -> list[str]:
        said: list[str] = []
        hooks = Hooks(lambda: read_hooks({"XDG_CONFIG_HOME": str(tmp_path)}), fault=said.append)
        hooks.ended([entry(1, "finished")], 1)
        await hooks.close()
        return said

    assert "hooks.toml" in asyncio.run(scenario())[0]


def told_of(tmp_path: Path, work: Callable[[Hooks], None], *hooks: Hook) -> list[Any]:
    async def scenario() -> None:
        found = Hooks(lambda: hooks)
        work(found)
        await found.close()

    asyncio.run(scenario())
    return kept(tmp_path / "kept")


def test_a_study_is_told_once_and_each_run_to_whoever_wants_that(tmp_path: Path) -> None:
    runs = sweep(1, 2, running=2)

    def work(hooks: Hooks) -> None:
        hooks.ended([runs[0], entry(2, "running", group=77)], 1)
        hooks.ended(runs, 2)

    found = told_of(tmp_path, work, keeping(tmp_path / "kept"), keeping(tmp_path / "kept", "run"))
    assert sorted(told["event"] for told, _, _ in found) == ["run", "run", "study"]
    (study, names, _), *_ = [one for one in found if one[0]["event"] == "study"]
    assert study["counts"] == {"ok": 2}
    assert [one["run"] for one in study["entries"]] == ["run-1", "run-2"]
    assert names["INFERTUI_TEXT"] == study["text"]
    assert names["INFERTUI_FOLDER"] == "/reports/run-2"
    assert (names["INFERTUI_STATE"], names["INFERTUI_VALID"]) == ("finished", "yes")


def test_what_never_ran_is_not_told(tmp_path: Path) -> None:
    gone = [entry(1, "cancelled", group=5), entry(2, "cancelled", group=5)]
    assert told_of(tmp_path, lambda hooks: hooks.ended(gone, 1, 2), keeping(tmp_path / "kept")) == []


def test_hostile_names_are_data_and_nothing_else(tmp_path: Path) -> None:
    name = f"$(touch {tmp_path}/owned); `touch {tmp_path}/owned` --version {HOSTILE}"
    one = entry(1, "failed", title=name, reason=name, run="-rf")
    ((told, names, arguments),) = told_of(
        tmp_path, lambda hooks: hooks.ended([one], 1), keeping(tmp_path / "kept", "study", "$INFERTUI_TEXT")
    )
    assert arguments == ["$INFERTUI_TEXT"]
    assert not (tmp_path / "owned").exists()
    for text in (told["text"], names["INFERTUI_TEXT"], names["INFERTUI_LABEL"]):
        assert not {"\x1b", "\n", "\0"} & set(text)


@pytest.mark.parametrize("command", [("/nonexistent/program",), (sys.executable, "-c", "raise SystemExit(3)")])
def test_a_hook_that_fails_harms_nobody(tmp_path: Path, command: tuple[str, ...]) -> None:
    both = (Hook(command), keeping(tmp_path / "kept"))
    assert len(told_of(tmp_path, lambda hooks: hooks.ended([entry(1, "finished")], 1), *both)) == 1


def test_a_hook_that_hangs_is_ended() -> None:
    code = "import time; time.sleep(600)"

    async def scenario() -> None:
        hooks = Hooks(lambda: (Hook((sys.executable, "-c", code)),), limit_s=0.5)
        hooks.ended([entry(1, "finished")], 1)
        async with asyncio.timeout(20):
            await hooks.close()

    asyncio.run(scenario())


def test_a_runner_tells_its_hooks(tmp_path: Path) -> None:
    hooks = Hooks(lambda: (keeping(tmp_path / "kept"),))

    async def scenario() -> None:
        async with Runner(hooks=hooks) as runner:
            variants = tuple(Variant(f"bs={size}", simulated(workload__batch_size=size), {}) for size in (1, 2))
            await runner.submit(Submission("demo", variants, str(tmp_path / "reports")))
            async for _ in runner.events(0):
                if len(kept(tmp_path / "kept")) == 1:
                    break

    asyncio.run(asyncio.wait_for(scenario(), 60))
    ((told, names, _),) = kept(tmp_path / "kept")
    assert told["label"] == "demo"
    assert Path(names["INFERTUI_FOLDER"]).is_dir()
