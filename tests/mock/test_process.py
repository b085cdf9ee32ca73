"""The command: where it listens, how it ends, what it refuses."""

import http.client
import json
import os
import signal
import subprocess
import sys
from urllib.parse import urlsplit

import pytest
from support.mock_process import mock_process

from infertui.mock.dressings import DRESSINGS
from infertui.mock.faults import FAULTS


def test_it_tells_its_url_first_and_answers_there() -> None:
    with mock_process("--ttft", "5ms", "--itl", "1ms", "--osl", "3") as mock:
        place = urlsplit(mock.url)
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=20)
        body = {"model": "mock", "messages": [{"role": "user", "content": "hi"}]}
        connection.request("POST", "/v1/chat/completions", json.dumps(body))
        answer = json.load(connection.getresponse())
        assert answer["choices"][0]["message"]["content"] == " this text is"
        assert answer["choices"][0]["finish_reason"] == "stop"
        connection.close()
        assert mock.stats()["outcomes"] == {"done": 1}
        served = mock.requests()[0]
        assert served["first_due_ns"] - served["arrived_ns"] == 5_000_000
        assert served["last_due_ns"] - served["arrived_ns"] == 7_000_000
        assert served["output_tokens"] == 3


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_in_order_on_a_signal(number: signal.Signals) -> None:
    code = "import sys; from infertui.entry import main; sys.argv = ['infertui', 'mock-server']; sys.exit(main())"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"http://127.0.0.1:")
        process.send_signal(number)
        _, said = process.communicate(timeout=20)
    assert process.returncode == 0
    assert b"Traceback" not in said


def test_it_starts_at_once_whatever_its_times() -> None:
    with mock_process("--ttft", "3600s", "--itl", "60s", "--prefill-rate", "0.001") as mock:
        assert mock.stats()["requests"] == 0


def told(*arguments: str, environment: dict[str, str] | None = None) -> tuple[int, str, str]:
    """Exit code, output and errors of the command, where it ends by itself."""
    code = "import sys; from infertui.entry import main; sys.argv = ['infertui', 'mock-server', *sys.argv[1:]]; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env=os.environ | (environment or {}),
    )
    return done.returncode, done.stdout, done.stderr


def test_the_truth_and_the_dressings_are_told() -> None:
    code, said, _ = told("--describe", "--slots", "8", "--ttft", "100ms", "--slo-ttft", "0.2s")
    assert (code, "Capacity under mean TTFT <= 200.000 ms: c = 9" in said) == (0, True)
    code, said, _ = told("--list-dressings")
    assert code == 0
    assert all(name in said for name in (*DRESSINGS, *FAULTS))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--host", "0.0.0.0"), '--host: "0.0.0.0" is not this machine alone'),  # noqa: S104
        (("--ttft", "fast"), '--ttft: "fast" is no duration'),
        (("--dressing", "tuxedo"), '--dressing: "tuxedo" is none; allowed: plain, '),
        (("--dressing", "crlf,cr"), "exclude each other"),
        (("--api-key-env", "NOT_SET_ANYWHERE"), "NOT_SET_ANYWHERE is not set"),
        (("--tls-cert", "x"), "--tls-key"),
        (("--describe", "--dressing", "plain,crlf"), "exclude each other"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(arguments: tuple[str, ...], says: str) -> None:
    code, said, errors = told(*arguments)
    assert (code, said) == (2, "")
    assert says in errors
    assert "Traceback" not in errors


def test_a_key_comes_from_the_environment() -> None:
    os.environ["MOCK_TEST_KEY"] = "a-key-of-the-test"
    try:
        with mock_process("--api-key-env", "MOCK_TEST_KEY") as mock:
            place = urlsplit(mock.url)
            for key, status in (("a-key-of-the-test", 200), ("another", 401)):
                connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=20)
                connection.request("GET", "/v1/models", headers={"Authorization": f"Bearer {key}"})
                assert connection.getresponse().status == status
                connection.close()
    finally:
        del os.environ["MOCK_TEST_KEY"]
