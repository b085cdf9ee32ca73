"""What can be said against a load before anybody is asked."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from infertui.config.endpoint import LoadConfig, TargetConfig
from infertui.config.schema import Config, DeviceConfig, MeasurementConfig, ModelConfig
from infertui.errors import ConfigError
from infertui.runner.endpoint.asked import check_endpoint, processes_for, unheeded


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


def test_keys_that_a_load_does_not_heed_are_named() -> None:
    from_here = of(url="http://127.0.0.1:1", model="m")
    assert unheeded(from_here) == ()
    assert unheeded(replace(from_here, model=ModelConfig(id="m"))) == (), "as a run.toml has it"
    other = replace(
        from_here,
        model=ModelConfig(id="another"),
        device=DeviceConfig(name="cuda:1"),
        measurement=MeasurementConfig(min_seconds=5.0, max_seconds=9.0, load_timeout_s=9.0),
    )
    assert unheeded(other) == ("model.id", "measurement.min_seconds", "measurement.load_timeout_s", "device.name")
    served = replace(other, target=TargetConfig(kind="endpoint", serve="vllm"))
    assert unheeded(served) == ("measurement.min_seconds",)


@pytest.mark.parametrize(
    ("load", "processes"),
    [
        (LoadConfig(concurrency=512), 1),
        (LoadConfig(concurrency=513), 2),
        (LoadConfig(request_rate=601.0), 2),
        (LoadConfig(request_rate=601.0, concurrency=1), 1),
        (LoadConfig(request_rate=5000.0, concurrency=3), 3),
        (LoadConfig(request_rate=5000.0, concurrency=300), 8),
    ],
)
def test_no_more_clients_than_can_have_a_request_in_flight(load: LoadConfig, processes: int) -> None:
    assert processes_for(replace(of(url="http://127.0.0.1:1"), load=load), 16) == processes
