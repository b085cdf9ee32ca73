"""Configs as users write them, TOML or JSON in the body of a request, on their way into the queue."""

from typing import Any

import msgspec

from infertui.config.parse import decode
from infertui.config.sweep import variants_of
from infertui.config.toml import MAX_BYTES
from infertui.config.toml_text import loads
from infertui.errors import ConfigError, UsageError
from infertui.runner.control import Submission

_SOURCE = "the request"


def submission(body: bytes, content_type: str, *, out: str, title: str, front: bool) -> Submission:
    """What a config comes to, its sweep expanded. Takes a while for a large sweep.

    Raises ConfigError, and UsageError where no reports folder is known.
    """
    if not out:
        raise UsageError(
            "no reports folder is named, and this runner has none for those who name none",
            remedy="As in POST /v1/runs?out=/PATH; `infertui serve --listen` has one.",
        )
    config = decode(tables(body, content_type), _SOURCE)
    return Submission(title or config.model.id, tuple(variants_of(config, "")), out, front)


def tables(body: bytes, content_type: str) -> dict[str, object]:
    """The tables of TOML or JSON text. JSON is known by its type, or by a brace with which no TOML begins.

    Raises ConfigError.
    """
    if len(body) > MAX_BYTES:
        raise ConfigError("", f"{_SOURCE} is larger than {MAX_BYTES >> 20} MiB", allowed="a config of settings")
    if "json" not in content_type.lower() and not body.lstrip().startswith(b"{"):
        return loads(body, _SOURCE)
    try:
        found: Any = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise ConfigError("", f"{_SOURCE} is not JSON: {error}", allowed="an object of tables") from None
    if not isinstance(found, dict):
        raise ConfigError("", f"{_SOURCE} is no object of tables", allowed="an object of tables")
    return found
