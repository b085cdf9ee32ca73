"""OpenAI's chat completions, as vLLM, SGLang, TensorRT-LLM, llama-server, TGI, Ollama and LMDeploy speak it.

https://platform.openai.com/docs/api-reference/chat
"""

from infertui.targets.endpoint.dialect import Api, AskedRequest, ReceivedAnswer, ServerAnswer
from infertui.targets.endpoint.dialects.asking import encoded, json_headers, role_messages
from infertui.targets.endpoint.dialects.openai_shapes import openai_fields, read_openai


class OpenAiChat:
    """Messages in, deltas out."""

    api: Api = "openai-chat"

    def path(self, model: str, *, streaming: bool) -> str:
        return "/v1/chat/completions"

    def headers(self, key: str) -> dict[str, str]:
        return json_headers(key)

    def body(self, asked: AskedRequest) -> bytes:
        said = {"model": asked.model, "messages": role_messages(asked.messages)}
        return encoded(asked, said | openai_fields(asked))

    def read(self, received: ReceivedAnswer, *, streaming: bool) -> ServerAnswer:
        return read_openai(received, streaming=streaming)
