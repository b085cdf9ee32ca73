"""What can be said against a load before anybody is asked."""

from pathlib import Path

import pytest

from infertui.config.endpoint import TargetConfig
from infertui.config.schema import Config
from infertui.errors import ConfigError
from infertui.runner.endpoint.asked import check_endpoint


def of(**target: object) -> Config:
    return Config(target=TargetConfig(kind="endpoint", **target))  # type: ignore[arg-type]


def test_certificates_are_for_https_and_have_to_be_there(tmp_path: Path) -> None:
    check_endpoint(of(url="https://127.0.0.1:1", insecure=True))
    for given in ({"ca_file": "x.pem"}, {"insecure": True}):
        with pytest.raises(ConfigError, match=rf"^target\.{next(iter(given))}: .* https://"):
            check_endpoint(of(url="http://127.0.0.1:1", **given))
    with pytest.raises(ConfigError, match=r"^target\.ca_file: .*none\.pem"):
        check_endpoint(of(url="https://127.0.0.1:1", ca_file=str(tmp_path / "none.pem")))


def test_a_key_stands_nowhere_that_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINE", "key-0123456789")
    check_endpoint(of(url="http://127.0.0.1:1", api_key_env="MINE", api_key_header="api-key"))
    with pytest.raises(ConfigError, match=r"^target\.headers: .*kept"):
        check_endpoint(of(url="http://127.0.0.1:1", api_key_env="MINE", headers='{"x-team": "key-0123456789"}'))
    with pytest.raises(ConfigError, match=r"^target\.api_key_header: "):
        check_endpoint(of(url="http://127.0.0.1:1", api_key_header="host"))
