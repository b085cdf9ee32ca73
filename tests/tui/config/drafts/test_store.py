"""Drafts on disk: given back as they were, whatever was in them; none of another screen; nothing of what is broken."""

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infertui.config.parse import build
from infertui.errors import StoreError
from infertui.tui.config.drafts import store
from infertui.tui.config.drafts.store import Draft, DraftFile, usable
from infertui.tui.config.form.base import from_preset
from infertui.tui.config.form.form import Form
from infertui.tui.config.form.view import Typing

OUT = Path("/reports")
BASE = from_preset("demo", {})
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=50)


def draft(form: Form | None = None, typed: str = "12x") -> Draft:
    form = form or Form(BASE)
    return Draft("2026-01-01T00:00:00+00:00", form.base, dict(form.values), 7, Typing("workload.batch_size", typed))


def kept(folder: Path) -> Path:
    (path,) = folder.glob("*.json")
    return path


@given(
    TEXT.filter(str.strip), TEXT, st.integers(1, 65536), st.floats(0, 100), st.lists(st.integers(1, 512), min_size=1)
)
def test_what_was_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, model: str, typed: str, batch: int, temperature: float, axis: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("drafts")
    form = Form(BASE)
    form.set("model.id", model)
    form.set("labels.who", typed)
    form.set("workload.batch_size", batch)
    form.set("workload.temperature", temperature)
    form.sweep("workload.output_len")
    form.set_text("workload.output_len", ",".join(map(str, dict.fromkeys(axis))))
    first = DraftFile(folder, OUT)
    assert first.open() is None
    first.write(draft(form, typed))
    first.close()
    found = DraftFile(folder, OUT).open()
    assert found is not None
    assert found.values == form.values
    assert build(found.values) == build(form.values)
    assert {type(value) for value in found.values.values()} == {type(value) for value in form.values.values()}
    assert found.typing == Typing("workload.batch_size", typed)
    assert found.entry == 7


def test_every_screen_and_every_folder_has_its_own(tmp_path: Path) -> None:
    first, second, other = DraftFile(tmp_path, OUT), DraftFile(tmp_path, OUT), DraftFile(tmp_path, Path("/other"))
    assert (first.open(), second.open(), other.open()) == (None, None, None)
    first.write(draft(typed="1"))
    second.write(draft(typed="2"))
    other.write(draft(typed="3"))
    for one in (first, second, other):
        one.close()
    again = [DraftFile(tmp_path, OUT), DraftFile(tmp_path, OUT), DraftFile(tmp_path, Path("/other"))]
    found = [one.open() for one in again]
    assert [one.typing.text for one in found if one and one.typing] == ["1", "2", "3"]


def test_a_killed_screen_gives_its_place_up(tmp_path: Path) -> None:
    code = (
        "import sys, os, signal; from pathlib import Path\n"
        "from infertui.tui.config.drafts.store import DraftFile\n"
        f"file = DraftFile(Path({str(tmp_path)!r}), Path('/reports')); file.open()\n"
        "from infertui.tui.config.form.base import from_preset; from infertui.tui.config.drafts.store import Draft\n"
        "base = from_preset('demo', {}); file.write(Draft('', base, dict(base.values), cursor='model.id'))\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    found = DraftFile(tmp_path, OUT).open()
    assert found is not None
    assert found.cursor == "model.id"


def test_nothing_to_keep_leaves_no_file(tmp_path: Path) -> None:
    file = DraftFile(tmp_path, OUT)
    file.open()
    file.write(None)
    file.write(draft())
    assert kept(tmp_path).stat().st_mode & 0o777 == 0o600
    file.write(None)
    assert not list(tmp_path.glob("*.json"))


@pytest.mark.parametrize("content", [b"", b"{", b"null", b"[]", b'{"saved": 1}', b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_draft_is_none_and_is_written_over(tmp_path: Path, content: bytes) -> None:
    file = DraftFile(tmp_path, OUT)
    file.open()
    file.write(draft())
    file.close()
    kept(tmp_path).write_bytes(content)
    again = DraftFile(tmp_path, OUT)
    assert again.open() is None
    again.write(draft())
    again.close()
    assert DraftFile(tmp_path, OUT).open() is not None


def test_every_prefix_of_a_draft_is_none(tmp_path: Path) -> None:
    whole = msgspec.json.encode(draft())
    file = DraftFile(tmp_path, OUT)
    file.open()
    file.write(draft())
    file.close()
    path = kept(tmp_path)
    for end in range(0, len(whole), 97):
        path.write_bytes(whole[:end])
        again = DraftFile(tmp_path, OUT)
        assert again.open() is None
        again.close()


def test_values_of_another_version_are_left_out(tmp_path: Path) -> None:
    found = usable(
        {
            "workload.batch_size": "many", "workload.gone": 1, "workload.output_len": 33, "labels.a": "b",
            "labels.c": 1,
            "sweep.grid.workload.gone": [1], "sweep.grid.workload.seed": [1, 2], "engine.name": "other",
        }
    )  # fmt: skip
    config = build(found)
    assert config.workload.batch_size == 1
    assert config.workload.output_len == 33
    assert dict(config.labels) == {"a": "b"}
    assert list(config.sweep.grid) == ["workload.seed"]


def test_drafts_are_bounded_in_size_and_in_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MOST_FILES", 3)
    for number in range(6):
        file = DraftFile(tmp_path, Path(f"/r{number}"))
        file.open()
        file.write(draft(typed="x" * 1_000_000))
        assert kept(tmp_path).stat().st_size < 100_000 if number == 0 else True
        file.close()
    assert len(list(tmp_path.glob("*.json"))) <= 4
    form = Form(BASE)
    form.set("labels.long", "x" * store.MAX_BYTES)
    file = DraftFile(tmp_path, OUT)
    file.open()
    with pytest.raises(StoreError, match="too large"):
        file.write(draft(form))


def test_a_disk_that_takes_nothing_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be kept"):
        DraftFile(tmp_path / "file", OUT).open()
    unplaced = DraftFile(tmp_path, OUT)
    unplaced.write(draft())  # without a place nothing is written
    assert json.dumps([path.name for path in tmp_path.iterdir()]) == '["file"]'
