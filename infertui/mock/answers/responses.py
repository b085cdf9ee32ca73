"""/v1/responses: typed events, each with its name and a running number."""

from infertui.mock.answers.asked import MockRequest
from infertui.mock.answers.base import AnswerState, MockAnswer, MockEvent, Worn


class ResponsesAnswer(MockAnswer):
    """Reasoning, message or function call are items, one after the other."""

    thinks = True
    calls = True
    at_once = True

    def __init__(self, asked: MockRequest, told: AnswerState, worn: Worn) -> None:
        super().__init__(asked, told, worn)
        self._sequence = 0
        self._item = -1
        self._open = ""
        self._said: dict[str, list[bytes]] = {"reasoning": [], "message": [], "call": []}

    def _event(self, name: bytes, fields: bytes) -> MockEvent:
        data = b'{"type":"%b",%b,"sequence_number":%d}' % (name, fields, self._sequence)
        self._sequence += 1
        return MockEvent(data, name)

    def opening(self) -> list[MockEvent]:
        empty = b'"response":%b' % self._response(b"in_progress", b"", usage=False)
        return [self._event(b"response.created", empty), self._event(b"response.in_progress", empty)]

    def content(self, text: bytes) -> list[MockEvent]:
        events = self._begin("message")
        place = self._place(b',"content_index":0')
        events.append(self._event(b"response.output_text.delta", b'%b,"delta":"%b","logprobs":[]' % (place, text)))
        self._said["message"].append(text)
        return events

    def thinking(self, text: bytes) -> list[MockEvent]:
        events = self._begin("reasoning")
        place = self._place(b',"content_index":0')
        events.append(self._event(b"response.reasoning_text.delta", b'%b,"delta":"%b"' % (place, text)))
        self._said["reasoning"].append(text)
        return events

    def tool(self, text: bytes, *, first: bool) -> list[MockEvent]:
        events = self._begin("call")
        events.append(
            self._event(b"response.function_call_arguments.delta", b'%b,"delta":"%b"' % (self._place(), text))
        )
        self._said["call"].append(text)
        return events

    def finish(self) -> list[MockEvent]:
        events = self._end()
        status = b"incomplete" if self.asked.limited else b"completed"
        name = b"response.incomplete" if self.asked.limited and self.worn.incomplete else b"response.completed"
        output = b",".join(self._items())
        events.append(self._event(name, b'"response":%b' % self._response(status, output, usage=True)))
        return events

    def error(self) -> list[MockEvent]:
        fields = b'"code":"server_error","message":"mock: the engine died on purpose","param":null'
        return [self._event(b"error", fields)]

    def whole(self, text: bytes, reasoning: bytes, tool: bytes) -> bytes:
        self._said = {
            "reasoning": [reasoning] if reasoning else [],
            "message": [text] if text else [],
            "call": [tool] if tool else [],
        }
        return self._response(
            b"incomplete" if self.asked.limited else b"completed", b",".join(self._items()), usage=True
        )

    def _begin(self, kind: str) -> list[MockEvent]:
        if self._open == kind:
            return []
        events = self._end()
        self._open = kind
        self._item += 1
        added = b'"output_index":%d,"item":%b' % (self._item, self._document(kind, b"", b"in_progress"))
        events.append(self._event(b"response.output_item.added", added))
        if kind == "message":
            part = b'%b,"part":{"type":"output_text","text":"","annotations":[]}' % self._place(b',"content_index":0')
            events.append(self._event(b"response.content_part.added", part))
        return events

    def _end(self) -> list[MockEvent]:
        kind, events = self._open, []
        if not kind:
            return []
        text = b"".join(self._said[kind])
        place = self._place(b"" if kind == "call" else b',"content_index":0')
        if kind == "message":
            events.append(self._event(b"response.output_text.done", b'%b,"text":"%b","logprobs":[]' % (place, text)))
            part = b'%b,"part":{"type":"output_text","text":"%b","annotations":[]}' % (place, text)
            events.append(self._event(b"response.content_part.done", part))
        elif kind == "reasoning":
            events.append(self._event(b"response.reasoning_text.done", b'%b,"text":"%b"' % (place, text)))
        else:
            events.append(self._event(b"response.function_call_arguments.done", b'%b,"arguments":"%b"' % (place, text)))
        done = b'"output_index":%d,"item":%b' % (self._item, self._document(kind, text, b"completed"))
        events.append(self._event(b"response.output_item.done", done))
        self._open = ""
        return events

    def _place(self, more: bytes = b"") -> bytes:
        return b'"item_id":"item_mock_%d_%d","output_index":%d%b' % (self.told.number, self._item, self._item, more)

    def _items(self) -> list[bytes]:
        self._item = -1
        found = []
        for kind, said in self._said.items():
            if said:
                self._item += 1
                found.append(self._document(kind, b"".join(said), b"completed"))
        return found

    def _document(self, kind: str, text: bytes, status: bytes) -> bytes:
        head = b'"id":"item_mock_%d_%d","status":"%b"' % (self.told.number, self._item, status)
        if kind == "reasoning":
            content = b'{"type":"reasoning_text","text":"%b"}' % text if text else b""
            return b'{%b,"type":"reasoning","summary":[],"content":[%b]}' % (head, content)
        if kind == "call":
            call = b'"call_id":"call_mock_%d","name":"mock_tool","arguments":"%b"' % (self.told.number, text)
            return b'{%b,"type":"function_call",%b}' % (head, call)
        content = b'{"type":"output_text","text":"%b","annotations":[]}' % text if text else b""
        return b'{%b,"type":"message","role":"assistant","content":[%b]}' % (head, content)

    def _response(self, status: bytes, output: bytes, *, usage: bool) -> bytes:
        told, asked = self.told, self.asked
        counts = b"null"
        if usage:
            counts = (
                b'{"input_tokens":%d,"input_tokens_details":{"cached_tokens":%d},"output_tokens":%d,'
                b'"output_tokens_details":{"reasoning_tokens":%d},"total_tokens":%d}'
            ) % (asked.prompt.tokens, told.cached, told.made, told.reasoned, asked.prompt.tokens + told.made)
        why = b'{"reason":"max_output_tokens"}' if status == b"incomplete" else b"null"
        return (
            b'{"id":"resp_mock_%d","object":"response","created_at":%d,"status":"%b","incomplete_details":%b,'
            b'"error":null,"model":"mock","output":[%b],"usage":%b}'
        ) % (told.number, told.created, status, why, output, counts)
