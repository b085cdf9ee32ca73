"""/v1/messages: named events, content in blocks."""

from infertui.mock.answers.asked import MockRequest
from infertui.mock.answers.base import AnswerState, MockAnswer, MockEvent, Worn


class MessagesAnswer(MockAnswer):
    """Thinking, text or tool use are blocks, one after the other. `input_tokens` leaves out those that were cached."""

    thinks = True
    calls = True

    def __init__(self, asked: MockRequest, told: AnswerState, worn: Worn) -> None:
        super().__init__(asked, told, worn)
        self._block = -1
        self._open = ""

    def _message(self, content: bytes, reason: bytes, output_tokens: int) -> bytes:
        return (
            b'{"id":"msg_mock_%d","type":"message","role":"assistant","model":"mock","content":[%b],"stop_reason":%b,'
            b'"stop_sequence":null,"usage":%b}'
        ) % (self.told.number, content, reason, self._usage(output_tokens))

    def _usage(self, output_tokens: int) -> bytes:
        cached = self.told.cached
        return (
            b'{"input_tokens":%d,"cache_creation_input_tokens":0,"cache_read_input_tokens":%d,"output_tokens":%d}'
            % (self.asked.prompt.tokens - cached, cached, output_tokens)
        )

    def _reason(self) -> bytes:
        return b'"tool_use"' if self.worn.tool else b'"max_tokens"' if self.asked.limited else b'"end_turn"'

    def opening(self) -> list[MockEvent]:
        start = b'{"type":"message_start","message":%b}' % self._message(b"", b"null", 1)
        return [MockEvent(start, b"message_start"), MockEvent(b'{"type":"ping"}', b"ping")]

    def content(self, text: bytes) -> list[MockEvent]:
        return self._delta("text", b'{"type":"text","text":""}', b'{"type":"text_delta","text":"%b"}' % text)

    def thinking(self, text: bytes) -> list[MockEvent]:
        block = b'{"type":"thinking","thinking":"","signature":""}'
        return self._delta("thinking", block, b'{"type":"thinking_delta","thinking":"%b"}' % text)

    def tool(self, text: bytes, *, first: bool) -> list[MockEvent]:
        block = b'{"type":"tool_use","id":"toolu_mock_%d","name":"mock_tool","input":{}}' % self.told.number
        return self._delta("tool", block, b'{"type":"input_json_delta","partial_json":"%b"}' % text)

    def _delta(self, kind: str, block: bytes, delta: bytes) -> list[MockEvent]:
        events = []
        if self._open != kind:
            events = self._stop()
            self._open = kind
            self._block += 1
            start = b'{"type":"content_block_start","index":%d,"content_block":%b}' % (self._block, block)
            events.append(MockEvent(start, b"content_block_start"))
        data = b'{"type":"content_block_delta","index":%d,"delta":%b}' % (self._block, delta)
        events.append(MockEvent(data, b"content_block_delta"))
        return events

    def _stop(self) -> list[MockEvent]:
        if not self._open:
            return []
        self._open = ""
        return [MockEvent(b'{"type":"content_block_stop","index":%d}' % self._block, b"content_block_stop")]

    def finish(self) -> list[MockEvent]:
        delta = b'{"type":"message_delta","delta":{"stop_reason":%b,"stop_sequence":null},"usage":%b}' % (
            self._reason(), self._usage(self.told.made),
        )  # fmt: skip
        return [*self._stop(), MockEvent(delta, b"message_delta")]

    def done(self) -> list[MockEvent]:
        return [MockEvent(b'{"type":"message_stop"}', b"message_stop")]

    def error(self) -> list[MockEvent]:
        data = b'{"type":"error","error":{"type":"overloaded_error","message":"mock: overloaded on purpose"}}'
        return [MockEvent(data, b"error")]

    def whole(self, text: bytes, reasoning: bytes, tool: bytes) -> bytes:
        blocks = []
        if reasoning:
            blocks.append(b'{"type":"thinking","thinking":"%b","signature":"mock"}' % reasoning)
        if text:
            blocks.append(b'{"type":"text","text":"%b"}' % text)
        if tool:
            # The arguments are JSON inside of a JSON string: here they stand as JSON.
            plain = tool.replace(b'\\"', b'"')
            blocks.append(
                b'{"type":"tool_use","id":"toolu_mock_%d","name":"mock_tool","input":%b}' % (self.told.number, plain)
            )
        return self._message(b",".join(blocks), self._reason(), self.told.made)
