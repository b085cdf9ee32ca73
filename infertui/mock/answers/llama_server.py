"""/completion of llama-server, whose last event tells the server's own times."""

from infertui.mock.answers.asked import MockRequest
from infertui.mock.answers.base import AnswerState, MockAnswer, MockEvent


def timings(told: AnswerState, asked: MockRequest) -> bytes:
    """`timings` as llama-server tells them: milliseconds, tokens, tokens a second."""
    prompt_ms = (told.first_ns - told.admitted_ns) / 1e6
    predicted_ms = (told.last_ns - told.first_ns) / 1e6
    fresh = asked.prompt.tokens - told.cached
    return (
        b'{"cache_n":%d,"prompt_n":%d,"prompt_ms":%.6g,"prompt_per_token_ms":%.6g,"prompt_per_second":%.6g,'
        b'"predicted_n":%d,"predicted_ms":%.6g,"predicted_per_token_ms":%.6g,"predicted_per_second":%.6g}'
    ) % (
        told.cached, fresh, prompt_ms, prompt_ms / max(fresh, 1), _rate(fresh, prompt_ms),
        told.made, predicted_ms, predicted_ms / max(told.made, 1), _rate(told.made, predicted_ms),
    )  # fmt: skip


def _rate(count: int, milliseconds: float) -> float:
    return count / milliseconds * 1000 if milliseconds else 0.0


class LlamaServerAnswer(MockAnswer):
    """/completion."""

    def content(self, text: bytes) -> list[MockEvent]:
        return [
            MockEvent(
                b'{"index":0,"content":"%b","tokens":[],"stop":false,"id_slot":0,"tokens_predicted":%d,"tokens_evaluated":%d}'
                % (text, self.told.made, self.asked.prompt.tokens)
            )
        ]

    def finish(self) -> list[MockEvent]:
        return [MockEvent(self._last(b""))]

    def error(self) -> list[MockEvent]:
        return [MockEvent(b'{"error":{"code":500,"message":"mock: the engine died on purpose","type":"server_error"}}')]

    def whole(self, text: bytes, reasoning: bytes, tool: bytes) -> bytes:
        return self._last(text)

    def _last(self, text: bytes) -> bytes:
        told, asked = self.told, self.asked
        return (
            b'{"index":0,"content":"%b","tokens":[],"id_slot":0,"stop":true,"model":"mock","tokens_predicted":%d,'
            b'"tokens_evaluated":%d,"generation_settings":{"n_predict":%d,"stream":%b},"prompt":"","has_new_line":false,'
            b'"truncated":false,"stop_type":"%b","stopping_word":"","tokens_cached":%d,"timings":%b}'
        ) % (
            text, told.made, asked.prompt.tokens, -1 if asked.max_tokens is None else asked.max_tokens,
            b"true" if asked.streaming else b"false", b"limit" if asked.limited else b"eos",
            asked.prompt.tokens + max(told.made - 1, 0), timings(told, asked),
        )  # fmt: skip
