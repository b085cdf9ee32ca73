import pytest

from infertui import text
from infertui.credentials import hide_credentials, is_credential, without_credentials


@pytest.mark.parametrize(
    ("name", "holds_one"),
    [
        ("HF_TOKEN", True),
        ("HUGGING_FACE_HUB_TOKEN", True),
        ("OPENAI_API_KEY", True),
        ("NGC_API_KEY", True),
        ("AWS_SECRET_ACCESS_KEY", True),
        ("db_password", True),
        ("TOKEN", True),
        ("OPENAI_APIKEY", True),
        ("PGPASSWORD", True),
        ("MYSQL_PWD", True),
        ("GITHUB_PAT", True),
        ("DB_PASS", True),
        ("PWD", False),
        ("OLDPWD", False),
        ("PATH", False),
        ("COMPASS", False),
        ("MAX_NEW_TOKENS", False),
        ("TOKENIZERS_PARALLELISM", False),
        ("KEYBOARD", False),
        ("MONKEY", False),
        ("HF_HOME", False),
    ],
)
def test_which_variables_hold_credentials(name: str, holds_one: bool) -> None:
    assert is_credential(name) == holds_one
    assert without_credentials({name: "x", "PATH": "/bin"}).keys() == {"PATH"} | (set() if holds_one else {name})


def test_what_is_short_or_blank_is_not_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "_hidden", set())
    hide_credentials({"A_TOKEN": "", "B_KEY": "short", "C_PASSWORD": "  long enough  ", "PATH": "/usr/local/bin"})
    assert text.clean("short, long enough, /usr/local/bin") == "short, ***, /usr/local/bin"
