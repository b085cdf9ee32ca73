"""All dialects by their names."""

from collections.abc import Mapping
from typing import Final

from infertui.targets.endpoint.dialect import Api, Dialect
from infertui.targets.endpoint.dialects.anthropic_messages import AnthropicMessages
from infertui.targets.endpoint.dialects.llama_server import LlamaServer
from infertui.targets.endpoint.dialects.ollama import OllamaChat, OllamaGenerate
from infertui.targets.endpoint.dialects.openai_chat import OpenAiChat
from infertui.targets.endpoint.dialects.openai_completions import OpenAiCompletions
from infertui.targets.endpoint.dialects.openai_responses import OpenAiResponses
from infertui.targets.endpoint.dialects.sglang import SGLang
from infertui.targets.endpoint.dialects.tgi import Tgi
from infertui.targets.endpoint.dialects.triton import Triton

DIALECTS: Final[Mapping[Api, Dialect]] = {
    dialect.api: dialect
    for dialect in (
        OpenAiChat(),
        OpenAiCompletions(),
        OpenAiResponses(),
        AnthropicMessages(),
        Tgi(),
        Triton(),
        OllamaChat(),
        OllamaGenerate(),
        LlamaServer(),
        SGLang(),
    )
}


def dialect_of(api: Api) -> Dialect:
    """The one of that name."""
    return DIALECTS[api]
