"""Asking Transformers in a process: what it may do wrong, and that each config is asked for once."""

import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from infertui.errors import ModelError
from infertui.models.hub import asking
from infertui.models.hub.asking import LibraryAnswer, ask, described, telling
from infertui.models.known import shape_of_config
from infertui.models.memory.kv_cache import CacheLayers
from infertui.runner.blocking import call_with_timeout

FALCON: dict[str, Any] = {
    "model_type": "falcon", "hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 8, "vocab_size": 1024,
    "multi_query": True, "bias": False, "alibi": False, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
MINE = LibraryAnswer(architecture="falcon", layers=4, hidden=256, heads=8, kv_heads=8, head_dim=32, vocab=1024,
              parameters=5, cache=(CacheLayers(4, 32, 32),))  # fmt: skip


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(asking, "_unanswered", set())


def stand_in(folder: Path, says: str) -> str:
    """An interpreter that is asked, as a shell script: `$4` is the descriptor to answer on, `$5` the token."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{says}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    "says",
    [
        "exit 3",
        "kill -9 $$",
        "echo another {} > /proc/self/fd/$4",
        "echo $5 [] > /proc/self/fd/$4",
        "echo $5 no json > /proc/self/fd/$4",
        "head -c 200000 /dev/zero > /proc/self/fd/$4",
    ],
)
def test_whatever_comes_instead_of_an_answer_is_none(says: str, tmp_path: Path) -> None:
    assert ask(b"{}", timeout_s=5, python=stand_in(tmp_path, says)) is None


def test_who_waits_for_it_is_told_once_and_in_whichever_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """And before the waiting, not after it; an answer that is kept is not waited for."""
    said: list[str] = []

    def answer(content: bytes, *, timeout_s: float) -> LibraryAnswer:
        said.append("asked")
        return MINE

    monkeypatch.setattr(asking, "ask", answer)

    async def both() -> None:
        with telling(said.append):
            await call_with_timeout(lambda: described({**FALCON, "model_type": "a\x1b[2Jnew"}), 5)
            await call_with_timeout(lambda: described({**FALCON, "model_type": "a\x1b[2Jnew"}), 5)
        await call_with_timeout(lambda: described({"model_type": "silent"}), 5)

    asyncio.run(both())
    first, *rest = said
    assert first == "asking Transformers what anew is: once, 90 s at most"
    assert rest == ["asked", "asked"]


def test_an_answer_with_the_token_is_taken(tmp_path: Path) -> None:
    (tmp_path / "said").write_bytes(msgspec.json.encode(MINE))
    python = stand_in(tmp_path, f'(printf "%s " "$5"; cat {tmp_path}/said) > /proc/self/fd/$4')
    assert ask(b"{}", timeout_s=20, python=python) == MINE


def test_one_that_hangs_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    python = stand_in(tmp_path, f"sleep 300 & echo $! > {tmp_path}/child; wait")
    assert ask(b"{}", timeout_s=1.0, python=python) is None
    child = int((tmp_path / "child").read_text())
    deadline = time.monotonic() + 10
    while Path(f"/proc/{child}/stat").exists() and Path(f"/proc/{child}/stat").read_text().split()[2] != "Z":
        assert time.monotonic() < deadline
        os.sched_yield()


def test_an_interpreter_that_is_not_there_is_none(tmp_path: Path) -> None:
    assert ask(b"{}", python=str(tmp_path / "nothing")) is None


def test_each_config_is_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []

    def answering(content: bytes, *, timeout_s: float) -> LibraryAnswer | None:
        asked.append(content)
        return MINE

    monkeypatch.setattr(asking, "ask", answering)
    assert described(FALCON, only_kept=True) is None
    first = described(FALCON)
    assert first is not None
    assert first.version
    assert described(dict(reversed(FALCON.items()))) == described(FALCON, only_kept=True) == first
    assert len(asked) == 1
    assert described(FALCON | {"vocab_size": 2048}) is not None
    assert len(asked) == 2
    shape = shape_of_config(FALCON, only_kept=True)
    assert (shape.kv_heads, shape.parameters, shape.told_by) == (1, 5, f"Transformers {first.version}")


def test_a_kept_answer_that_is_broken_is_asked_for_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(asking, "ask", lambda content, *, timeout_s: MINE)
    described(FALCON)
    (kept,) = (tmp_path / "cache/infertui/shapes").iterdir()
    kept.write_bytes(b"{" * 5000)
    assert described(FALCON, only_kept=True) is None
    assert described(FALCON) is not None


def test_who_does_not_answer_is_not_asked_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []
    monkeypatch.setattr(asking, "ask", lambda content, *, timeout_s: asked.append(content))
    assert described(FALCON) is described(FALCON) is None
    assert len(asked) == 1


def test_what_nobody_knows_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "ask", lambda content, *, timeout_s: LibraryAnswer(problem="it knows no such thing"))
    shape = shape_of_config(FALCON | {"model_type": "brand-new"})
    assert (shape.exact, shape.cache, shape.told_by) == (False, None, "")
    monkeypatch.setattr(asking, "ask", lambda content, *, timeout_s: LibraryAnswer(decoder=False, architecture="depth"))
    with pytest.raises(ModelError, match="not a decoder-only language model: depth"):
        shape_of_config(FALCON | {"model_type": "depth"})


def test_numbers_that_no_model_has_are_refused_without_asking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "ask", lambda content, *, timeout_s: pytest.fail("it was asked"))
    for key, value in (("num_hidden_layers", 10**6), ("hidden_size", -1), ("vocab_size", 2**62)):
        with pytest.raises(ModelError, match=f"{key} is"):
            shape_of_config(FALCON | {key: value})


def test_the_real_one_answers() -> None:
    """In a process of its own, as it is used: 4 layers with one KV head of 32."""
    pytest.importorskip("transformers", reason="Transformers is asked")
    answer = ask(json.dumps(FALCON).encode())
    assert answer is not None
    assert answer.problem == ""
    assert answer.parameters == 2_951_680
    assert answer.cache == (CacheLayers(4, 32, 32),)
