"""A conversation where a server takes one text."""

from collections.abc import Sequence

from infertui.targets.endpoint.dialect import ChatMessage


def one_prompt(messages: Sequence[ChatMessage]) -> str:
    """The texts as they are, one after the other: each token of an answer stands in the next prompt as it was.

    So a cache of prefixes finds what it has; nothing is added that would count as tokens of the prompt.
    """
    return "".join(message.content for message in messages)
