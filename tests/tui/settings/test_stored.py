import asyncio
import stat
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infertui.errors import StoreError, UsageError
from infertui.tui.settings.preferences import Preferences
from infertui.tui.settings.stored import Settings, fields, read, write
from infertui.tui.terminal import early
from infertui.tui.terminal.early import settings_path

OTHER = Settings(
    theme="light", gauge_hz=2.5, slow_link=True, mouse="off", temperature_unit="F", columns=("model", "ttft"),
    sort="ttft", descending=False, baseline="2026-run", keys={"queue.cancel": "X,delete", "app.zoom": "Z"},
)  # fmt: skip


@pytest.mark.parametrize("settings", [Settings(), OTHER])
def test_what_is_written_is_read(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "new" / "settings.toml"
    write(path, settings)
    found = read(path)
    assert found.settings == settings
    assert not found.problems
    assert found.existed
    assert [child.name for child in path.parent.iterdir()] == ["settings.toml"]


def test_every_setting_has_a_comment(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    write(path, Settings())
    text = path.read_text()
    assert "# GPU gauges are redrawn so often, a second; allowed: a number, 0.1 to 10; default: 1\ngauge_hz" in text
    for field in fields():
        assert field.description
        assert field.name in text


def test_no_file_is_the_first_start(tmp_path: Path) -> None:
    found = read(tmp_path / "none.toml")
    assert found.settings == Settings()
    assert not found.existed
    assert not early.read(tmp_path / "none.toml").existed


def test_one_mistake_does_not_cost_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text('gauge_hz = 99\nthme = "x"\nhot_c = 70\nmouse = "off"\nsort = 3\nchart_hz = true\n')
    found = read(path)
    assert (found.settings.hot_c, found.settings.mouse, found.settings.gauge_hz) == (70, "off", 1)
    assert found.problems[0] == "settings.toml: gauge_hz: '99' is not allowed; allowed: a number, 0.1 to 10; using 1"
    assert found.problems[1] == "settings.toml: there is no setting 'thme'; did you mean theme?"
    assert "sort: '3'" in found.problems[2]
    assert len(found.problems) == 4
    assert early.read(path).mouse == "off"


@pytest.mark.parametrize("content", [b"\xff\xfe", b"a = ", b"[" * 5000, b"x = 1\n" * 300_000, b"a = \x1b[2J"])
def test_no_file_can_break_the_start(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_bytes(content)
    found = read(path)
    assert found.settings == Settings()
    assert found.problems
    assert "\x1b" not in "".join(found.problems)
    assert early.read(path).existed


@given(st.binary(max_size=200))
def test_reading_never_raises(content: bytes) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "settings.toml"
        path.write_bytes(content)
        assert isinstance(read(path).settings, Settings)
        early.read(path)


def test_a_folder_that_cannot_be_written_is_an_error_with_a_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot save the settings"):
        write(tmp_path / "file" / "settings.toml", Settings())


def test_the_file_is_the_users_alone(tmp_path: Path) -> None:
    write(tmp_path / "settings.toml", Settings())
    assert stat.S_IMODE((tmp_path / "settings.toml").stat().st_mode) == 0o600


def test_fields_show_and_parse_their_values() -> None:
    for field in fields():
        for settings in (Settings(), OTHER):
            value = field.parse(field.text(settings))
            assert msgspec.structs.replace(settings, **{field.name: value}) == settings


@pytest.mark.parametrize(
    ("name", "text"),
    [("gauge_hz", "fast"), ("gauge_hz", "11"), ("mouse", "maybe"), ("columns", "model, nothing"), ("slow_link", "2")],
)
def test_what_is_typed_wrong_is_named(name: str, text: str) -> None:
    field = next(field for field in fields() if field.name == name)
    with pytest.raises(UsageError, match=f"^{name}: .* is not allowed; allowed: "):
        field.parse(text)


def test_where_the_settings_are() -> None:
    assert settings_path({"HOME": "/home/me"}) == Path("/home/me/.config/infertui/settings.toml")
    assert settings_path({"HOME": "/h", "XDG_CONFIG_HOME": "/c"}) == Path("/c/infertui/settings.toml")
    assert settings_path({"HOME": "/h", "XDG_CONFIG_HOME": "relative"}) == Path("/h/.config/infertui/settings.toml")


def test_what_the_command_line_says_counts_for_this_time_alone(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text("hot_c = 70.0\nnothing = 1\n")
    preferences = Preferences(None, path, slow_link=True)
    assert preferences.slow_link
    assert preferences.settings.slow_link
    assert len(preferences.problems) == 1
    preferences.settings = msgspec.structs.replace(preferences.settings, gauge_hz=2.0)
    asyncio.run(preferences.save())
    kept = read(path).settings
    assert (kept.slow_link, kept.gauge_hz, kept.hot_c) == (False, 2.0, 70.0)
    asyncio.run(Preferences(Settings(), None, slow_link=False).save())


def test_two_screens_do_not_undo_each_other(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    write(path, Settings())
    one, two = (Preferences(None, path, slow_link=False) for _ in range(2))
    assert one.settings == two.settings
    one.settings = msgspec.structs.replace(one.settings, theme="light")
    two.settings = msgspec.structs.replace(two.settings, sort="ttft")
    assert asyncio.run(one.save()) == ""
    assert asyncio.run(two.save()) == ""
    kept = read(path).settings
    assert (kept.theme, kept.sort) == ("light", "ttft")
    two.settings = msgspec.structs.replace(two.settings, sort="tpot")
    asyncio.run(two.save())
    assert (read(path).settings.theme, read(path).settings.sort) == ("light", "tpot")


def test_a_file_with_mistakes_is_kept_when_a_new_one_is_written(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text("theme = 'light\n")
    preferences = Preferences(None, path, slow_link=False)
    preferences.settings = msgspec.structs.replace(preferences.settings, sort="ttft")
    assert "settings.toml.old" in asyncio.run(preferences.save())
    assert (tmp_path / "settings.toml.old").read_text() == "theme = 'light\n"
    assert read(path).settings.sort == "ttft"
    assert asyncio.run(preferences.save()) == ""
