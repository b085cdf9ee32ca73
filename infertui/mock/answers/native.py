"""The own ways of TGI, Triton and SGLang."""

from infertui.mock.answers.asked import MockRequest
from infertui.mock.answers.base import AnswerState, MockAnswer, MockEvent, Worn
from infertui.mock.answers.openai import DONE, ERROR


class TgiAnswer(MockAnswer):
    """/generate_stream and /generate: `data:` without a space, the end told by the last token's event."""

    tight = True

    def __init__(self, asked: MockRequest, told: AnswerState, worn: Worn) -> None:
        super().__init__(asked, told, worn)
        self._said: list[bytes] = []

    def content(self, text: bytes) -> list[MockEvent]:
        self._said.append(text)
        last = b'null,"details":null'
        if self.told.made >= self.asked.output_tokens and not self.worn.no_finish:
            last = b'"%b","details":%b' % (b"".join(self._said), self._details() if self.asked.details else b"null")
        return [
            MockEvent(
                b'{"index":%d,"token":{"id":%d,"text":"%b","logprob":-0.5,"special":false},"generated_text":%b}'
                % (self.told.made, 1000 + self.told.made, text, last)
            )
        ]

    def error(self) -> list[MockEvent]:
        return [MockEvent(b'{"error":"mock: the engine died on purpose","error_type":"generation"}')]

    def whole(self, text: bytes, reasoning: bytes, tool: bytes) -> bytes:
        if not self.asked.details:
            return b'{"generated_text":"%b"}' % text
        details = self._details()[:-1] + b',"prefill":[],"tokens":[]}'
        return b'{"generated_text":"%b","details":%b}' % (text, details)

    def _details(self) -> bytes:
        return b'{"finish_reason":"%b","generated_tokens":%d,"seed":null,"input_length":%d}' % (
            b"length" if self.asked.limited else b"eos_token", self.told.made, self.asked.prompt.tokens,
        )  # fmt: skip


class TritonAnswer(MockAnswer):
    """/v2/models/mock/generate_stream and /generate: text and nothing else, no mark of the end."""

    def content(self, text: bytes) -> list[MockEvent]:
        return [MockEvent(self.whole(text, b"", b""))]

    def error(self) -> list[MockEvent]:
        return [MockEvent(b'{"error":"mock: the engine died on purpose"}')]

    def whole(self, text: bytes, reasoning: bytes, tool: bytes) -> bytes:
        return b'{"model_name":"mock","model_version":"1","text_output":"%b"}' % text


class SglangAnswer(MockAnswer):
    """/generate: every event has the whole text so far, and how many tokens that is."""

    usage_in_chunks = True

    def __init__(self, asked: MockRequest, told: AnswerState, worn: Worn) -> None:
        super().__init__(asked, told, worn)
        self._said = b""

    def content(self, text: bytes) -> list[MockEvent]:
        self._said += text
        last = self.told.made >= self.asked.output_tokens and not self.worn.no_finish
        return [MockEvent(self._document(self._said, last=last))]

    def done(self) -> list[MockEvent]:
        return [DONE]

    def error(self) -> list[MockEvent]:
        return [MockEvent(ERROR), DONE]

    def whole(self, text: bytes, reasoning: bytes, tool: bytes) -> bytes:
        return self._document(text, last=True)

    def _document(self, text: bytes, *, last: bool) -> bytes:
        told, asked = self.told, self.asked
        reason, more = b"null", b""
        if last:
            reason = b'{"type":"length","length":%d}' % told.made if asked.limited else b'{"type":"stop","matched":2}'
            more = b',"e2e_latency":%.6f' % ((told.last_ns - told.arrived_ns) / 1e9)
        return (
            b'{"text":"%b","meta_info":{"id":"mock-%d","finish_reason":%b,"prompt_tokens":%d,"completion_tokens":%d,'
            b'"cached_tokens":%d%b}}'
        ) % (text, told.number, reason, asked.prompt.tokens, told.made, told.cached, more)
