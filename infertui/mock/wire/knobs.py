"""What the mock lets be changed while it runs, in the ways of the servers whose paths it has.

`max_num_running_seqs` of `/v1/runtime_config` is real: so many requests decode at a time, `--slots` at most. Emptying
the cache is real as well. All else is taken, told again, and changes nothing.
"""

import json
import math
from typing import TYPE_CHECKING

from infertui.mock.families import Family

if TYPE_CHECKING:
    from infertui.mock.server import MockHost

_RUNNING = "max_num_running_seqs"
_INTERNAL = {"pp_max_micro_batch_size": 8, "speculative_accept_threshold_single": 1.0}
Told = tuple[int, object]
"""A status and a document."""


class Knobs:
    """Of one server."""

    def __init__(self, host: "MockHost") -> None:
        self._host = host
        self._scales = {0: 1.0, 1: 0.0}
        self._internal: dict[str, float] = dict(_INTERNAL)

    def answer(self, path: str, method: str, url: bytes, body: bytes) -> Told | None:
        """What a path says, or does; None where it is none of these."""
        family = self._host.options.family
        asked = _decoded(body) if method in ("POST", "PATCH") else None
        if path == "/v1/runtime_config" and self._is("vllm", family):
            return self._runtime(method, asked)
        if path == "/reset_prefix_cache" and self._is("vllm", family):
            return self._emptied({}) if method == "POST" else (405, {"detail": "Method Not Allowed"})
        if path == "/lora-adapters" and self._is("llama-server", family):
            return self._adapters(method, asked)
        if path.startswith("/slots/") and method == "POST" and self._is("llama-server", family):
            return self._slot(path.removeprefix("/slots/"), url)
        if path == "/get_server_info" and family == "sglang":
            return 200, {"model_path": "mock", "version": "0.0.0-mock", "internal_states": [self._internal]}
        if path == "/set_internal_state" and method == "POST" and family == "sglang":
            return self._state(asked)
        if path == "/flush_cache" and family == "sglang":
            return self._emptied({"success": True})
        return None

    def _is(self, name: Family, family: Family) -> bool:
        return family in (name, "all")

    def _emptied(self, told: object) -> Told:
        self._host.serving.cache.clear()
        return 200, told

    def _runtime(self, method: str, asked: object) -> Told:
        floor, most = self._host.serving.floor, self._host.options.slots or 65_536
        if method == "PATCH":
            wanted = asked.get(_RUNNING) if isinstance(asked, dict) else None
            if not isinstance(wanted, int) or not 1 <= wanted <= most:
                return 400, {"error": {"message": f"{_RUNNING} has to be from 1 to {most}"}}
            floor.resize(wanted)
        return 200, {_RUNNING: floor.slots or most, "max_num_seqs": most}

    def _adapters(self, method: str, asked: object) -> Told:
        if method == "POST":
            wanted = asked if isinstance(asked, list) else []
            scales = {
                one["id"]: one["scale"] for one in wanted if isinstance(one, dict) and {"id", "scale"} <= one.keys()
            }
            if not all(isinstance(scale, int | float) and math.isfinite(scale) for scale in scales.values()):
                return 400, {"error": {"message": "a scale is no number"}}
            self._scales = {number: float(scales.get(number, 0.0)) for number in self._scales}
            return 200, {"success": True}
        return 200, [{"id": number, "path": f"mock-{number}.gguf", "scale": self._scales[number]} for number in (0, 1)]

    def _slot(self, number: str, url: bytes) -> Told:
        slots = self._host.options.slots or 1
        if not url.endswith(b"?action=erase"):
            return 400, {"error": {"message": "Invalid action"}}
        if not number.isdigit() or int(number) >= slots:
            return 400, {"error": {"message": "Invalid slot ID"}}
        return self._emptied({"id_slot": int(number), "n_erased": 0})

    def _state(self, asked: object) -> Told:
        wanted = asked.get("server_args") if isinstance(asked, dict) else None
        if not isinstance(wanted, dict) or not wanted.keys() <= self._internal.keys():
            return 200, [{"updated": False, "message": "mock: not an argument that can be updated"}]
        if not all(isinstance(value, int | float) and math.isfinite(value) for value in wanted.values()):
            return 400, {"error": {"message": "mock: not a number"}}
        self._internal |= wanted
        return 200, [{"updated": True, "server_args": self._internal}]


def _decoded(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
