"""The ladder: every dialect in every dressing of the mock, whose answers were written apart from what reads them here.

The mock's deadlines and the stamps here are of one clock: a token that is found before its deadline was none.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import get_args

import pytest
from support.mock_client import connect, receive, request_bytes

from infertui.mock.answers.words import text_of
from infertui.mock.dressings import DRESSINGS
from infertui.mock.options import MockOptions
from infertui.mock.server import MockServer
from infertui.targets.endpoint.dialect import Api, AskedRequest, ChatMessage, ErrorKind, ReceivedAnswer, ServerAnswer
from infertui.targets.endpoint.dialects.registry import dialect_of

APIS: tuple[Api, ...] = get_args(Api)
TOKENS = 10
TTFT_NS, ITL_NS = 60_000_000, 4_000_000
ERRORS: dict[str, ErrorKind] = {"error-in-stream": "in-stream", "no-finish": "no-finish", "cut-stream": "cut-off"}
COME = {"error-in-stream": 3, "cut-stream": 5}
# What a dialect has no place for is plain in it.
CALLING = ("openai-chat", "openai-responses", "anthropic-messages")
THINKING = (*CALLING, "ollama-chat", "ollama-generate")


def answered(server: MockServer, api: Api) -> tuple[int, int, ServerAnswer]:
    """When it was asked, when all was there, and what came of it."""
    dialect = dialect_of(api)
    body = dialect.body(AskedRequest(model="mock", messages=(ChatMessage("user", "hello"),), output_tokens=TOKENS))
    headers = dialect.headers("") | {"x-request-id": api}
    with connect(server.url) as sock:
        sock.sendall(request_bytes(dialect.path("mock", streaming=True), body, headers=headers))
        got = receive(sock)
    end_ns = got.pieces[-1][0]
    received = ReceivedAnswer(
        status=got.status,
        headers=got.headers,
        pieces=got.pieces,
        end_ns=end_ns,
        whole=got.whole,
        broken="" if got.whole else "cut-off",
    )
    return got.began_ns, end_ns, dialect.read(received, streaming=True)


@pytest.mark.parametrize("dressing", [name for name in DRESSINGS if name != "ping-comments-1s"])
def test_the_truth_is_found_in_every_dialect(dressing: str) -> None:
    options = MockOptions(ttft_s=TTFT_NS / 1e9, itl_s=ITL_NS / 1e9, dressings=(dressing,), seed=1)
    with MockServer(options) as server, ThreadPoolExecutor(len(APIS)) as pool:
        found = dict(zip(APIS, pool.map(lambda api: answered(server, api), APIS), strict=True))
        records = {one.name: one for one in server.requests()}
    for api, (_, end_ns, answer) in found.items():
        where = f"{api} in {dressing}"
        expected = ERRORS.get(dressing, "")
        # Triton never says why it ends.
        assert answer.error == ("" if api == "triton" and expected == "no-finish" else expected), (
            where,
            answer.message,
        )
        assert answer.steps[0] >= records[api].first_due_ns, where
        assert list(answer.steps) == sorted(answer.steps), where
        assert answer.steps[-1] >= records[api].last_due_ns, where
        if not expected and api != "triton" and not (dressing == "tool-calls-only" and api in CALLING):
            assert answer.finish in ("length", "limit", "max_tokens", "max_output_tokens"), where
        come = COME.get(dressing, TOKENS)
        if dressing == "two-tokens-a-chunk":
            assert len(answer.steps) == TOKENS // 2, where
            assert answer.tokens == TOKENS or api == "triton", where
        elif dressing == "tool-calls-only" and api in CALLING:
            assert answer.tokens == TOKENS, where
        else:
            assert len(answer.steps) == come, where
            assert answer.tokens == come, where
        if not expected and dressing not in ("swallowed-tokens", "tool-calls-only"):
            said = answer.reasoning + answer.text
            assert said == text_of(TOKENS, unicode=dressing == "unicode"), where
        if dressing.startswith("reasoning") and api in THINKING:
            assert answer.first_output_ns is not None
            assert answer.first_output_ns == answer.steps[TOKENS // 2], where
            assert answer.reasoning == text_of(TOKENS // 2), where
        if dressing == "late-usage" and api not in ("tgi", "triton"):
            assert end_ns - answer.steps[-1] > 100_000_000, where
