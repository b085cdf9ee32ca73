"""All dialects by their names."""

from collections.abc import Mapping
from typing import Final

from infertui.targets.endpoint.dialect import Api, Dialect
from infertui.targets.endpoint.dialects.openai_chat import OpenAiChat
from infertui.targets.endpoint.dialects.openai_completions import OpenAiCompletions

DIALECTS: Final[Mapping[Api, Dialect]] = {
    dialect.api: dialect
    for dialect in (
        OpenAiChat(),
        OpenAiCompletions(),
    )
}


def dialect_of(api: Api) -> Dialect:
    """The one of that name."""
    return DIALECTS[api]
