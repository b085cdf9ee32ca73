import os
import string
import subprocess
import sys
from io import StringIO
from pathlib import Path

import dotenv.main
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infertui import text
from infertui.config.sources import load
from infertui.env_file import FILE, OFF, read_env_file, use_env_file, with_env_file
from infertui.errors import ConfigError, UsageError
from infertui.tui import crash

TOKEN = "hf_" + "a1B2" * 8


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without a file, and a process that goes by none before and after."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("infertui.env_file._in_use", type(sys.modules["infertui.env_file"]._in_use)())
    monkeypatch.setattr(text, "_hidden", set())


def written(content: str | bytes, path: Path = Path(FILE)) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def values(content: str, environ: dict[str, str] | None = None) -> dict[str, str]:
    found = read_env_file(written(content), environ or {})
    assert found is not None
    return dict(found.values)


def test_without_a_file_nothing_changes() -> None:
    environ = {"BATCH_SIZE": "2"}
    assert use_env_file(environ=environ) == ()
    assert environ == {"BATCH_SIZE": "2"}
    assert dict(with_env_file(environ)) == environ


def test_the_five_variables_reach_the_config_and_are_named_as_their_source() -> None:
    written(
        "MODEL_ID='synthetic:nano'\nBATCH_SIZE=4 # two pairs\nexport MAX_NEW_TOKENS=${WANTED:-7}\n"
        'TRT_PRECISION="bf16"\nCUDA_VISIBLE_DEVICES=1\nINFERTUI_WORKLOAD_SEED=9\n'
    )
    environ: dict[str, str] = {}
    assert use_env_file(environ=environ) == ()
    resolved = load("gpu-batch4", environ=with_env_file(environ), flags={"workload.seed": ("--seed", 10)})
    assert {path: source for path, source in resolved.sources.items() if "env" in source} == {
        "model.id": ".env MODEL_ID",
        "workload.batch_size": ".env BATCH_SIZE",
        "workload.output_len": ".env MAX_NEW_TOKENS",
        "engine.dtype": ".env TRT_PRECISION",
        "device.visible": ".env CUDA_VISIBLE_DEVICES",
    }
    config = resolved.config
    assert (config.model.id, config.workload.batch_size, config.workload.output_len) == ("synthetic:nano", 4, 7)
    assert (config.engine.dtype, config.device.visible, config.workload.seed) == ("bfloat16", "1", 10)


def test_the_environment_counts_before_the_file_by_whichever_variable() -> None:
    written("INFERTUI_WORKLOAD_BATCH_SIZE=4\nMAX_NEW_TOKENS=7\nMODEL_ID=a/b\n")
    environ = {"BATCH_SIZE": "2", "MODEL_ID": ""}
    use_env_file(environ=environ)
    resolved = load(None, environ=with_env_file(environ))
    assert resolved.sources["workload.batch_size"] == "environment BATCH_SIZE"
    assert resolved.sources["workload.output_len"] == ".env MAX_NEW_TOKENS"
    assert resolved.sources["model.id"] == "default"  # an empty variable hides the file's


def test_a_wrong_value_is_told_with_the_file() -> None:
    written("BATCH_SIZE=many\n")
    use_env_file(environ={})
    with pytest.raises(ConfigError, match=r"from \.env BATCH_SIZE"):
        load(None, environ=with_env_file({}))
    written("INFERTUI_WORKLOAD_BACH_SIZE=4\n")
    use_env_file(environ={})
    with pytest.raises(ConfigError, match=r"from \.env\)"):
        load(None, environ=with_env_file({}))


def test_what_libraries_look_for_is_put_into_the_environment_and_nothing_else() -> None:
    written(
        f"HF_HOME=/models\nHF_TOKEN={TOKEN}\nCUDA_VISIBLE_DEVICES=0\nDATABASE_PASSWORD=secret\nPATH=/x\nBATCH_SIZE=4\n"
    )
    environ = {"HF_HOME": "/mine"}
    use_env_file(environ=environ)
    assert environ == {"HF_HOME": "/mine", "HF_TOKEN": TOKEN, "CUDA_VISIBLE_DEVICES": "0"}
    assert load(None, environ=with_env_file(environ)).sources["device.visible"] == ".env CUDA_VISIBLE_DEVICES"
    Path(FILE).unlink()
    use_env_file(environ=environ)
    assert environ == {"HF_HOME": "/mine"}


def test_it_can_be_left_out_and_named() -> None:
    written("BATCH_SIZE=4\n")
    for environ, off in (({OFF: "1"}, False), ({OFF: "yes"}, False), ({}, True)):
        use_env_file(off=off, environ=environ)
        assert "BATCH_SIZE" not in with_env_file(environ)
        assert environ[OFF] != ""  # also for what this process starts
    use_env_file(environ={OFF: "0"})
    assert with_env_file({})["BATCH_SIZE"] == "4"
    written("BATCH_SIZE=5\n", Path("other.env"))
    for given_name, environ in (
        ("other.env", {}),
        (None, {"INFERTUI_ENV_FILE": "other.env"}),
        ("other.env", {OFF: "1"}),
    ):
        use_env_file(given_name, environ=environ)
        assert load(None, environ=with_env_file({})).sources["workload.batch_size"] == "other.env BATCH_SIZE"
    with pytest.raises(UsageError, match="exclude each other"):
        use_env_file("other.env", off=True, environ={})


def test_a_file_that_is_none_is_refused_in_one_sentence(tmp_path: Path) -> None:
    cases = {
        "binary": (b"A=\xff\xfe\n", r"not UTF-8 text \(byte 2\)"),
        "utf-16": ("BATCH_SIZE=4\n".encode("utf-16"), "not UTF-8"),
        "nul": (b"A=\0\n", "holds a NUL"),
        "huge": (b"A=1\n" * 20_000, "larger than 64 KiB"),
    }
    for name, (content, problem) in cases.items():
        with pytest.raises(UsageError, match=problem) as caught:
            read_env_file(written(content, tmp_path / name), {})
        assert "--no-env-file" in caught.value.remedy
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="it is a pipe, not a regular file"):
        read_env_file(tmp_path / "pipe", {})
    with pytest.raises(UsageError, match="there is no env file"):
        read_env_file(tmp_path / "nothing", {}, named=True)
    with pytest.raises(UsageError, match="a folder"):
        read_env_file(tmp_path, {}, named=True)
    assert read_env_file(tmp_path, {}) is None  # a virtual environment may be called .env


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to others")
def test_the_file_of_another_user_is_not_taken_by_itself() -> None:
    os.chown(written("INFERTUI_ENGINE_PYTHON=/srv/theirs\n"), 12345, -1)
    (note,) = use_env_file(environ={})
    assert "belongs to another user (12345)" in note
    assert load(None, environ=with_env_file({})).config.engine.python == ""
    assert use_env_file(FILE, environ={}) == ()
    assert load(None, environ=with_env_file({})).config.engine.python == "/srv/theirs"


def test_a_line_that_means_nothing_is_told_by_its_number_and_not_quoted() -> None:
    found = read_env_file(written(f"A=1\n\n\n{TOKEN} and more\nB='2\n"), {})
    assert found is not None
    assert found.values == {"A": "1"}
    assert [note.removeprefix(".env line ") for note in found.notes] == [
        "4 is not understood, and left out",
        "5 is not understood, and left out",
    ]


def by_dotenv(content: str) -> dict[str, str]:
    """What load_dotenv would set in an environment of those variables that are there now."""
    held = dotenv.main.DotEnv(None, stream=StringIO(content), override=False).dict()
    return {key: value for key, value in held.items() if value is not None}


@pytest.mark.parametrize(
    ("content", "expected"),
    [  # the documentation of python-dotenv: its file format, and its variable expansion
        ("A=\nB\n", {"A": ""}),
        ("export A='single \\' quoted'\n", {"A": "single ' quoted"}),
        ('A="first\\nsecond"\n', {"A": "first\nsecond"}),
        ('A="first\nsecond"\n', {"A": "first\nsecond"}),
        ("A=plain # comment\nB=plain#none\n# C=1\n", {"A": "plain", "B": "plain#none"}),
        ("A=x\nB=${A}/y\nC=${NONE:-z}${NONE}\n", {"A": "x", "B": "x/y", "C": "z"}),
        ("\ufeffA = 1\r\nB=2\r\n", {"A": "1", "B": "2"}),
        ("A=1\nA=2\n", {"A": "2"}),
    ],
)
def test_the_rules_are_those_of_python_dotenv(content: str, expected: dict[str, str]) -> None:
    assert values(content) == expected


def test_a_variable_of_the_environment_is_expanded_before_one_of_the_file() -> None:
    assert values("A=file\nB=${A}\n", {"A": "environment"})["B"] == "environment"


_LINE = st.one_of(
    st.text(alphabet=string.ascii_letters + "_ ='\"#${}:-\\\t\r", max_size=30),
    st.builds("{}={}".format, st.sampled_from(["A", "B", "export C", "'D'"]), st.text(max_size=12)),
    st.builds("{}=${{{}:-{}}}".format, *(st.sampled_from(["A", "B", "HOME", "x y", ""]) for _ in range(3))),
)


@given(st.lists(_LINE, max_size=12).map("\n".join).filter(lambda content: "\0" not in content))
def test_any_text_is_read_as_python_dotenv_reads_it(content: str) -> None:
    encoded = content.encode(errors="replace")
    Path(FILE).write_bytes(encoded)
    found = read_env_file(Path(FILE), os.environ)
    assert found is not None
    assert found.values == by_dotenv(encoded.decode())


def test_a_token_of_the_file_is_shown_nowhere() -> None:
    written(f"HF_TOKEN={TOKEN}\nOPENAI_API_KEY=some-long-key\nSHORT_KEY=abc\nBATCH_SIZE=4\n")
    use_env_file(environ={"DB_PASSWORD": "correct horse"})
    shown = text.clean("Bearer some-long-key, correct horse; abc of hf_zyxwvutsrqponmlkjihgfedcba")
    assert shown == "Bearer ***, ***; abc of ***"


def test_a_crash_keeps_no_token(tmp_path: Path) -> None:
    error = ValueError(f"Illegal header value b'Bearer {TOKEN}' or some-long-key")
    use_env_file(environ={"OPENAI_API_KEY": "some-long-key"})
    log = crash.keep(error, environ={"XDG_STATE_HOME": str(tmp_path)})
    assert log is not None
    told = log.read_text() + crash.sentence(error, log)
    assert "Illegal header value" in told
    assert TOKEN not in told
    assert "some-long-key" not in told


def test_the_command_line_and_its_children(tmp_path: Path) -> None:
    def infertui(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "infertui", *arguments]
        environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **variables}
        return subprocess.run(command, capture_output=True, text=True, env=environ, timeout=60, check=False)

    written(f"BATCH_SIZE=4\nHF_TOKEN={TOKEN}\nnot a line\n")
    shown = infertui("config", "show", "--changed")
    assert shown.stdout.split() == ["workload.batch_size", "4", ".env", "BATCH_SIZE"]
    assert shown.stderr == "warning: .env line 3 is not understood, and left out\n"
    assert infertui("--no-env-file", "config", "show", "--changed").stdout == ""
    written(b"\xff\n")
    broken = infertui("config", "show")
    assert (broken.returncode, broken.stdout) == (2, "")
    assert broken.stderr.startswith("infertui: .env is not UTF-8 text (byte 0)\nMend it, or leave it out")
    screen = infertui("--no-mouse", TERM="xterm")
    assert (screen.returncode, screen.stderr) == (2, broken.stderr)
