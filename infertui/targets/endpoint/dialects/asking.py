"""What all dialects ask alike: a conversation as one text, and fields as a body."""

from collections.abc import Mapping, Sequence

import msgspec

from infertui.targets.endpoint.dialect import AskedRequest, ChatMessage


def one_prompt(messages: Sequence[ChatMessage]) -> str:
    """The texts as they are, one after the other: each token of an answer stands in the next prompt as it was.

    So a cache of prefixes finds what it has; nothing is added that would count as tokens of the prompt.
    """
    return "".join(message.content for message in messages)


def role_messages(messages: Sequence[ChatMessage]) -> list[dict[str, str]]:
    """As chats take them."""
    return [{"role": message.role, "content": message.content} for message in messages]


def json_headers(key: str) -> dict[str, str]:
    """JSON to and fro, and the key as a bearer's."""
    headers = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
    if key:
        headers["authorization"] = f"Bearer {key}"
    return headers


def encoded(asked: AskedRequest, fields: Mapping[str, object]) -> bytes:
    """A body of these fields, without those that the server refuses, and with those that a user wants.

    An object in an object, as Ollama's options, is treated alike: those of a user are added to it.
    """
    without = set(asked.without)
    extra = dict(asked.extra)
    body: dict[str, object] = {}
    for name, value in fields.items():
        if name in without:
            continue
        wanted = extra.pop(name, {} if isinstance(value, dict) else value)
        if isinstance(value, dict) and isinstance(wanted, dict):
            wanted = _told({inner: what for inner, what in value.items() if inner not in without} | wanted)
        body[name] = wanted
    return msgspec.json.encode(_told(body | extra))


def _told(fields: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in fields.items() if value is not None}
