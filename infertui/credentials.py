"""Tokens, keys and passwords: which variables hold some, and how these are kept out of what is shown, kept or started.

A worker needs none, so it gets none: what an engine prints into a run's log cannot hold them. What is shown and kept
passes `text.clean`, which masks the values that `hide` was told.
"""

import re
from collections.abc import Mapping

from infertui.text import hide

_NAME = re.compile(
    r"(?:^|_)(?:TOKEN|(?:API)?KEY|SECRET|PAT|PASS|PASSPHRASE|CREDENTIALS?)$|PASSW(?:OR)?D$|._PWD$", re.IGNORECASE
)


def is_credential(name: str) -> bool:
    """Whether a variable of that name holds a credential: HF_TOKEN, OPENAI_API_KEY, DB_PASSWORD."""
    return _NAME.search(name) is not None


def without_credentials(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that may be handed to a process which has no use for credentials."""
    return {name: value for name, value in environ.items() if not is_credential(name)}


def hide_credentials(environ: Mapping[str, str]) -> None:
    """From now on mask the values of the credentials in `environ` wherever text is shown or kept."""
    hide(value for name, value in environ.items() if is_credential(name))
