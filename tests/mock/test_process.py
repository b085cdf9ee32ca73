"""The command: where it listens, how it ends, what it refuses."""

import http.client
import json
import signal
import subprocess
import sys
from urllib.parse import urlsplit

import pytest
from support.mock_process import mock_process


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
