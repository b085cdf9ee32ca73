"""Chat completions and completions as OpenAI has them, with what vLLM and llama-server add."""

from infertui.mock.answers.asked import MockRequest
from infertui.mock.answers.base import AnswerState, MockAnswer, MockEvent, Worn
from infertui.mock.answers.llama_server import timings

DONE = MockEvent(b"[DONE]")
ERROR = b'{"error":{"message":"mock: the engine died on purpose","type":"InternalServerError","param":null,"code":500}}'


def usage_table(told: AnswerState, asked: MockRequest, worn: Worn) -> bytes:
    """`usage` with the tokens so far."""
    prompt = asked.prompt.tokens
    details = b'{"cached_tokens":%d}' % told.cached if worn.cached_told else b"null"
    more = b',"completion_tokens_details":{"reasoning_tokens":%d}' % told.reasoned if worn.reasoning else b""
    return b'{"prompt_tokens":%d,"total_tokens":%d,"completion_tokens":%d,"prompt_tokens_details":%b%b}' % (
        prompt, prompt + told.made, told.made, details, more,
    )  # fmt: skip


class _OpenaiAnswer(MockAnswer):
    usage_in_chunks = True
    kind, prefix = b"", b""

    def __init__(self, asked: MockRequest, told: AnswerState, worn: Worn) -> None:
        super().__init__(asked, told, worn)
        self._head = b'{"id":"%b-mock-%d","object":"%b","created":%d,"model":"mock","choices":[' % (
            self.prefix, told.number, self.kind, told.created,
        )  # fmt: skip
        # OpenAI writes null into every chunk where usage will come at the end.
        self._tail = b'],"usage":null}' if asked.include_usage else b"]}"
        self._counts = worn.continuous_usage or asked.continuous_usage

    def _chunk(self, choice: bytes) -> MockEvent:
        if self._counts:
            return MockEvent(b'%b%b],"usage":%b}' % (self._head, choice, usage_table(self.told, self.asked, self.worn)))
        return MockEvent(self._head + choice + self._tail)

    def _reason(self) -> bytes:
        return b"tool_calls" if self.worn.tool and self.calls else b"length" if self.asked.limited else b"stop"

    def usage(self) -> list[MockEvent]:
        if not self.asked.include_usage:
            return []
        return [MockEvent(b'%b],"usage":%b}' % (self._head, usage_table(self.told, self.asked, self.worn)))]

    def done(self) -> list[MockEvent]:
        return [DONE]

    def extra(self) -> list[MockEvent]:
        return [MockEvent(self._head + b"]}")]

    def error(self) -> list[MockEvent]:
        return [MockEvent(ERROR), DONE]


class ChatAnswer(_OpenaiAnswer):
    """/v1/chat/completions."""

    kind, prefix = b"chat.completion.chunk", b"chatcmpl"
    thinks = True
    calls = True

    def __init__(self, asked: MockRequest, told: AnswerState, worn: Worn) -> None:
        super().__init__(asked, told, worn)
        self._before = b'{"index":0,"delta":{"content":"'
        self._after = b'"},"logprobs":null,"finish_reason":null}'
        self._hot = self._head + self._before, self._after + self._tail

    def opening(self) -> list[MockEvent]:
        null = self.worn.null_role or self.worn.llama
        content = b"null" if null else b'""'
        return [
            self._chunk(
                b'{"index":0,"delta":{"role":"assistant","content":%b},"logprobs":null,"finish_reason":null}' % content
            )
        ]

    def around(self) -> tuple[bytes, bytes] | None:
        return None if self._counts else self._hot

    def content(self, text: bytes) -> list[MockEvent]:
        return [self._chunk(self._before + text + self._after)]

    def thinking(self, text: bytes) -> list[MockEvent]:
        field = self.worn.reasoning.encode()
        return [self._chunk(b'{"index":0,"delta":{"%b":"%b"},"logprobs":null,"finish_reason":null}' % (field, text))]

    def tool(self, text: bytes, *, first: bool) -> list[MockEvent]:
        head = b'"id":"call_mock_%d","type":"function",' % self.told.number if first else b""
        name = b'"name":"mock_tool",' if first else b""
        call = b'{"index":0,%b"function":{%b"arguments":"%b"}}' % (head, name, text)
        return [self._chunk(b'{"index":0,"delta":{"tool_calls":[%b]},"logprobs":null,"finish_reason":null}' % call)]

    def finish(self) -> list[MockEvent]:
        choice = b'{"index":0,"delta":{},"logprobs":null,"finish_reason":"%b"}' % self._reason()
        event = self._chunk(choice)
        if self.worn.llama:
            event = MockEvent(b'%b,"timings":%b}' % (event.data[:-1], timings(self.told, self.asked)))
        return [event]

    def whole(self, text: bytes, reasoning: bytes, tool: bytes) -> bytes:
        content = b"null" if tool and not text else b'"%b"' % text
        more = b',"%b":"%b"' % (self.worn.reasoning.encode(), reasoning) if reasoning else b""
        if tool:
            more += (
                b',"tool_calls":[{"id":"call_mock_%d","type":"function",'
                b'"function":{"name":"mock_tool","arguments":"%b"}}]' % (self.told.number, tool)
            )
        extra = b',"timings":%b' % timings(self.told, self.asked) if self.worn.llama else b""
        return (
            b'{"id":"chatcmpl-mock-%d","object":"chat.completion","created":%d,"model":"mock","choices":[{"index":0,'
            b'"message":{"role":"assistant","content":%b%b},"logprobs":null,"finish_reason":"%b"}],"usage":%b%b}'
        ) % (
            self.told.number, self.told.created, content, more, self._reason(),
            usage_table(self.told, self.asked, self.worn), extra,
        )  # fmt: skip


class CompletionAnswer(_OpenaiAnswer):
    """/v1/completions."""

    kind, prefix = b"text_completion", b"cmpl"

    def around(self) -> tuple[bytes, bytes] | None:
        if self._counts:
            return None
        return self._head + b'{"index":0,"text":"', b'","logprobs":null,"finish_reason":null}' + self._tail

    def content(self, text: bytes) -> list[MockEvent]:
        return [self._chunk(b'{"index":0,"text":"%b","logprobs":null,"finish_reason":null}' % text)]

    def finish(self) -> list[MockEvent]:
        return [self._chunk(b'{"index":0,"text":"","logprobs":null,"finish_reason":"%b"}' % self._reason())]

    def whole(self, text: bytes, reasoning: bytes, tool: bytes) -> bytes:
        return self._head + b'{"index":0,"text":"%b","logprobs":null,"finish_reason":"%b"}],"usage":%b}' % (
            text, self._reason(), usage_table(self.told, self.asked, self.worn),
        )  # fmt: skip
