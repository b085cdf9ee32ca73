"""OpenAI's completions, which take a prompt as it is, without a chat template.

https://platform.openai.com/docs/api-reference/completions
"""

from infertui.targets.endpoint.dialect import Api, AskedRequest, ReceivedAnswer, ServerAnswer
from infertui.targets.endpoint.dialects.asking import encoded, json_headers, one_prompt
from infertui.targets.endpoint.dialects.openai_shapes import openai_fields, read_openai


class OpenAiCompletions:
    """A prompt in, `text` out."""

    api: Api = "openai-completions"

    def path(self, model: str, *, streaming: bool) -> str:
        return "/v1/completions"

    def headers(self, key: str) -> dict[str, str]:
        return json_headers(key)

    def body(self, asked: AskedRequest) -> bytes:
        return encoded(asked, {"model": asked.model, "prompt": one_prompt(asked.messages)} | openai_fields(asked))

    def read(self, received: ReceivedAnswer, *, streaming: bool) -> ServerAnswer:
        return read_openai(received, streaming=streaming)
