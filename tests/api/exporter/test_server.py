"""`infertui exporter` as a process: of a runner where there is one, of the GPUs without; who is let in."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.daemons import Home, home, wait_until
from support.exporters import Exporter, exporter, one_value

from infertui.api.exporter.access import access_of
from infertui.errors import UsageError

TOKEN = "a-token-that-nobody-guesses"  # noqa: S105


@pytest.fixture(name="place")
def _place() -> Iterator[Home]:
    with home() as found:
        yield found


@pytest.fixture(name="token")
def _token(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(TOKEN + "\n", encoding="utf-8")
    path.chmod(0o600)
    return path


def test_gpus_without_a_runner_then_a_runner_then_none_again(place: Home, nvml_stub: Path) -> None:
    def up(one: Exporter) -> float | None:
        return one_value(one.ask().told, "infertui_runner_up")

    with exporter(place, stub=nvml_stub, gpus=2, util=73) as one:
        told = one.ask().told
        assert one_value(told, "infertui_runner_up") == 0
        assert [value for _, value in told["DCGM_FI_DEV_GPU_UTIL"]] == [73, 73]
        assert place.runner == 0  # it starts none
        with place.serving() as serving:
            told = one.ask().told
            assert one_value(told, "infertui_runner_up") == 1
            assert one_value(told, "infertui_queue_entries", state="queued") == 0
            serving.kill()
            serving.wait()
            assert up(one) == 0


def test_pages_and_verbs(place: Home) -> None:
    with exporter(place) as one:
        page = one.ask()
        assert (page.status, page.headers["content-type"]) == (200, "text/plain; version=0.0.4")
        head = one.ask(method="HEAD")
        assert (head.status, head.body) == (200, b"")
        assert int(head.headers["content-length"]) > 100
        assert one.ask("/").body == b"infertui exporter: see /metrics\n"
        assert one.ask("/metrics/").status == 404
        assert one.ask("/v1/snapshot").status == 404
        assert one.ask(method="POST").status == 405
        assert one.ask("/metrics?a=b").status == 200


def test_a_page_of_another_site_does_not_reach_it_by_a_name_of_its_own(place: Home) -> None:
    with exporter(place) as one:
        assert one.ask(headers={"Host": "evil.example:9401"}).status == 403
        for host in ("localhost", "LOCALHOST:9401", "127.0.0.1:1", "[::1]:9401", "[::1]"):
            assert one.ask(headers={"Host": host}).status == 200, host


def test_what_is_no_request_is_no_harm(place: Home) -> None:
    with exporter(place) as one:
        for content in (
            b"\x00" * 100,
            b"GET /metrics HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        ):
            with socket.create_connection((one.host, int(one.port)), timeout=30) as raw:
                raw.sendall(content)
                assert raw.recv(100).startswith(b"HTTP/1.1 4")
        half = socket.create_connection((one.host, int(one.port)), timeout=30)
        half.sendall(b"GET /metr")
        assert one.ask().status == 200
        half.close()
        assert one.ask().status == 200


def test_with_a_token_only_those_who_have_it(place: Home, token: Path) -> None:
    with exporter(place, "--listen", "0.0.0.0:0", "--token-file", str(token), "--insecure") as one:
        for wrong in ({}, {"Authorization": "Bearer x"}, {"Authorization": TOKEN}, {"Authorization": f"Basic {TOKEN}"}):
            refused = one.ask(headers=wrong)
            assert (refused.status, refused.headers["www-authenticate"]) == (401, "Bearer")
            assert b"infertui_" not in refused.body
        for right in (f"Bearer {TOKEN}", f"bearer  {TOKEN} "):
            assert one.ask(headers={"Authorization": right, "Host": "gpu-box:9401"}).status == 200


def test_over_ipv6(place: Home) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    with exporter(place, "--listen", "[::1]:0") as one:
        assert one.url.startswith("http://[::1]:")
        assert one.ask().status == 200


def test_a_port_that_is_taken(place: Home) -> None:
    with exporter(place) as one:
        done = place.command("exporter", "--port", one.port, code=1)
    assert f"cannot listen on 127.0.0.1:{one.port}: Address already in use" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_driver_that_hangs_is_said_and_holds_nobody(place: Home, nvml_stub: Path, tmp_path: Path) -> None:
    hangs = tmp_path / "hangs"
    with exporter(place, stub=nvml_stub, hang_file=hangs) as one:
        assert one.ask().status == 200
        hangs.touch()
        assert one.ask().status == 503
        assert one.ask("/").status == 200
        hangs.unlink()
        wait_until(lambda: one.ask().status == 200)


@pytest.mark.parametrize("place", ["127.0.0.1", "localhost:1", "[::1]:9", "127.9.9.9", "9401", ":0"])
def test_the_loopback_needs_no_token(place: str) -> None:
    assert access_of(place).token == ""


@pytest.mark.parametrize("place", ["0.0.0.0:1", "[::]:9401", "192.168.1.5:1", "gpu-box", "[::ffff:10.0.0.1]:9"])
def test_any_other_address_needs_one(place: str, token: Path) -> None:
    with pytest.raises(UsageError, match="there is no token") as refusal:
        access_of(place)
    assert "--token-file" in refusal.value.remedy
    assert access_of(place, token).token == TOKEN


def test_a_token_is_not_sent_in_plain_text_unless_that_is_wanted(place: Home, token: Path) -> None:
    done = place.command("exporter", "--listen", "0.0.0.0:0", "--token-file", str(token), code=2)
    assert "without TLS anyone on the way reads the token" in done.stderr


def test_insecure_does_not_open_it_without_a_token(place: Home) -> None:
    done = place.command("exporter", "--listen", "0.0.0.0:0", "--insecure", code=2)
    assert "there is no token" in done.stderr


@pytest.mark.parametrize("place", ["a b", "1.2.3.4:70000", "a\x1b[31mb", "*", "::1"])
def test_what_is_no_address(place: str) -> None:
    with pytest.raises(UsageError, match="is no address") as refusal:
        access_of(place)
    assert "\x1b" not in str(refusal.value)


def test_a_token_that_others_may_read_is_refused(token: Path) -> None:
    token.chmod(0o640)
    with pytest.raises(UsageError, match="others may read it"):
        access_of("127.0.0.1", token)


def test_the_exporter_imports_no_engine_and_no_screen(place: Home) -> None:
    code = "import infertui.api.exporter.server, sys; print(*sys.modules)"
    place.program = ("-c", code)
    loaded = set(place.command().stdout.split())
    assert "uvicorn" in loaded
    assert not loaded & {"torch", "transformers", "textual", "rich", "prometheus_client"}
