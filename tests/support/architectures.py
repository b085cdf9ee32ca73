"""Models as Transformers' own config classes describe them: at their real size, and small siblings that can be run."""

from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct


class Architecture(Struct, frozen=True):
    """`full` are the values by which the real model differs from its config class, `small` those of a sibling."""

    name: str
    model_type: str
    full: dict[str, Any]
    small: dict[str, Any]

    def sibling(self) -> dict[str, Any]:
        """A config that runs on any machine in no time."""
        return {"model_type": self.model_type, **self.small}

    def whole(self) -> dict[str, Any]:
        """A config of the real size."""
        return {"model_type": self.model_type, **self.full}


ARCHITECTURES = tuple(
    msgspec.json.decode(line, type=Architecture)
    for line in Path(__file__).with_name("architectures.jsonl").read_bytes().splitlines()
)
