"""/api/chat and /api/generate of Ollama: JSON lines, the last of which has the counts and times in nanoseconds."""

from datetime import UTC, datetime

from infertui.mock.answers.base import MockAnswer, MockEvent


class OllamaAnswer(MockAnswer):
    """What both have in common; `chat` tells them apart."""

    media = b"application/x-ndjson"
    lines = True
    thinks = True
    chat = True

    def _line(self, text: bytes, *, thinking: bytes = b"", end: bytes = b'"done":false') -> bytes:
        stamp = datetime.fromtimestamp(self.told.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.000000Z").encode()
        more = b',"thinking":"%b"' % thinking if thinking else b""
        body = b'"response":"%b"%b' % (text, more)
        if self.chat:
            body = b'"message":{"role":"assistant","content":"%b"%b}' % (text, more)
        return b'{"model":"mock","created_at":"%b",%b,%b}' % (stamp, body, end)

    def content(self, text: bytes) -> list[MockEvent]:
        return [MockEvent(self._line(text))]

    def thinking(self, text: bytes) -> list[MockEvent]:
        return [MockEvent(self._line(b"", thinking=text))]

    def finish(self) -> list[MockEvent]:
        return [MockEvent(self._line(b"", end=self._end()))]

    def error(self) -> list[MockEvent]:
        return [MockEvent(b'{"error":"mock: the engine died on purpose"}')]

    def whole(self, text: bytes, reasoning: bytes, tool: bytes) -> bytes:
        return self._line(text, thinking=reasoning, end=self._end())

    def _end(self) -> bytes:
        told, asked = self.told, self.asked
        cached = b',"prompt_eval_cached_count":%d' % told.cached if self.worn.cached_told else b""
        return (
            b'"done":true,"done_reason":"%b","total_duration":%d,"load_duration":0,"prompt_eval_count":%d%b,'
            b'"prompt_eval_duration":%d,"eval_count":%d,"eval_duration":%d'
        ) % (
            b"length" if asked.limited else b"stop", told.last_ns - told.arrived_ns, asked.prompt.tokens, cached,
            told.first_ns - told.admitted_ns, told.made, told.last_ns - told.first_ns,
        )  # fmt: skip


class OllamaGenerateAnswer(OllamaAnswer):
    """/api/generate."""

    chat = False
