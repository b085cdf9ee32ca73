"""What a running server lets be changed, found by asking it: values, limits, and its own words where it refuses.

Whether it lets is asked without changing anything: by setting what is set already, or by naming what is not there.

- llama-server: the scale of each LoRA adapter (`/lora-adapters`), its slots emptied (`/slots/N?action=erase`). What is
  sent to `/props` it accepts and does nothing with, so that is no setting.
- SGLang: some numbers of its internal state (`/set_internal_state`), its cache (`/flush_cache`).
- vLLM: how many requests run at a time, where it has `/v1/runtime_config`; its prefix cache (`/reset_prefix_cache`).

What is told is foreign: numbers are checked, texts are cleaned, lists are bounded.
"""

import json
import math
from collections.abc import Mapping
from typing import Any, Final, Literal

from msgspec import Struct

from infertui.config.endpoint import TargetConfig
from infertui.errors import EngineError
from infertui.targets.endpoint.address import parse_url
from infertui.targets.endpoint.dialect import ReceivedAnswer
from infertui.targets.endpoint.dialects.reading import body_of, refusal
from infertui.targets.endpoint.dialects.registry import dialect_of
from infertui.targets.endpoint.extras import further_headers, key_of
from infertui.targets.endpoint.http import HttpAsker
from infertui.targets.endpoint.identity import identify, json_object
from infertui.text import one_line

EMPTIED = "cache_emptied"
"""The setting of which 1 is an act: what is cached is dropped when it is set."""
MOST_ADAPTERS = 64
MOST_SLOTS = 4096
MOST_SCALE = 4.0
ANSWER_S = 10.0
_SGLANG: Final[Mapping[str, tuple[float, float, bool]]] = {
    "pp_max_micro_batch_size": (1, 65_536, True),
    "speculative_accept_threshold_single": (0, 1, False),
    "speculative_accept_threshold_acc": (0, 1, False),
}
_RUNNING = "max_num_running_seqs"
Server = Literal["llama-server", "sglang", "vllm"]


class ServerSetting(Struct, frozen=True):
    """One of them. `refused` are the server's words where it does not let it be changed; empty: it does."""

    name: str
    value: float
    low: float
    high: float
    description: str
    whole: bool = False
    refused: str = ""


class ServerPanel:
    """The settings of one server. Raises ConfigError for a URL or a key that cannot be used."""

    def __init__(self, target: TargetConfig) -> None:
        address = parse_url(target.url)
        key = key_of(target, address)
        self._asker = HttpAsker(address, target, further_headers(target))
        headers = dialect_of("openai-chat" if target.api == "auto" else target.api).headers(key)
        self._headers = {name: value for name, value in headers.items() if name != "accept"}
        self._server = ""
        self._adapters: tuple[int, ...] = ()
        self._slots = 0

    async def settings(self) -> tuple[ServerSetting, ...]:
        """All that there are now. Raises EngineError where nothing answers."""
        listing = await self._get("/v1/models")
        if not listing.status:
            raise EngineError(f"the server does not answer: {one_line(listing.message)}")
        if not self._server:
            self._server = (await identify(listing, self._get)).server
        if self._server == "llama-server":
            return await self._of_llama_server()
        if self._server == "sglang":
            return await self._of_sglang()
        return await self._of_vllm() if self._server == "vllm" else ()

    async def set(self, name: str, value: float, now: Mapping[str, float]) -> None:
        """Change one, where `now` are the values of all. Raises EngineError with the server's words."""
        if problem := _refused(await self._put(name, value, now)):
            raise EngineError(f"the server does not set {name} to {value:g}: {problem}")

    async def _put(self, name: str, value: float, now: Mapping[str, float]) -> ReceivedAnswer:
        if name.startswith("lora_"):
            # What is not named is taken for 0 there.
            scales = {one: now.get(f"lora_{one}", 0.0) for one in self._adapters}
            scales |= {int(name.removeprefix("lora_")): value}
            return await self._send("POST", "/lora-adapters", [{"id": one, "scale": scales[one]} for one in scales])
        if name == EMPTIED:
            return await self._emptied()
        if name == _RUNNING:
            return await self._send("PATCH", "/v1/runtime_config", {_RUNNING: int(value)})
        return await self._send("POST", "/set_internal_state", {"server_args": {name: _number(name, value)}})

    async def _emptied(self) -> ReceivedAnswer:
        if self._server == "vllm":
            return await self._send("POST", "/reset_prefix_cache", {})
        if self._server == "sglang":
            return await self._send("POST", "/flush_cache", {})
        answer = await self._send("POST", "/slots/0?action=erase", {})
        for slot in range(1, self._slots):
            if _refused(answer):
                break
            answer = await self._send("POST", f"/slots/{slot}?action=erase", {})
        return answer

    async def _of_llama_server(self) -> tuple[ServerSetting, ...]:
        slots = _whole(json_object(await self._get("/props")).get("total_slots"))
        self._slots = min(slots or 1, MOST_SLOTS)
        adapters = _adapters(await self._get("/lora-adapters"))
        self._adapters = tuple(one for one, _, _ in adapters)
        scales = {f"lora_{one}": scale for one, _, scale in adapters}
        found = []
        refused = ""
        if adapters:
            refused = _refused(await self._put(f"lora_{adapters[0][0]}", adapters[0][2], scales))
        for one, path, scale in adapters:
            high = max(MOST_SCALE, scale)
            found.append(
                ServerSetting(f"lora_{one}", scale, 0.0, high, f"scale of the LoRA adapter {path}", refused=refused)
            )
        # Of a slot that is not there it says so, where it empties slots at all.
        nowhere = await self._send("POST", f"/slots/{1 << 30}?action=erase", {})
        found.append(_emptying("" if nowhere.status == 400 else _refused(nowhere)))
        return tuple(found)

    async def _of_sglang(self) -> tuple[ServerSetting, ...]:
        page = json_object(await self._get("/get_server_info")) or json_object(await self._get("/server_info"))
        states = page.get("internal_states")
        state = states[0] if isinstance(states, list) and states and isinstance(states[0], dict) else {}
        refused = _refused(await self._send("POST", "/set_internal_state", {"server_args": {}}))
        found = []
        for name, (low, high, whole) in _SGLANG.items():
            value = _finite(state.get(name, page.get(name)))
            if value is not None and low <= value <= high:
                words = "of its internal state, until the session ends"
                found.append(ServerSetting(name, value, low, high, f"{name} {words}", whole, refused))
        return (*found, _emptying(""))

    async def _of_vllm(self) -> tuple[ServerSetting, ...]:
        found = []
        answer = await self._get("/v1/runtime_config")
        page = json_object(answer)
        running = _whole(page.get(_RUNNING))
        if running is not None:
            high = max(running, *(_whole(page.get(name)) or 0 for name in ("max_num_seqs", "capacity")))
            refused = _refused(await self._send("PATCH", "/v1/runtime_config", {_RUNNING: running}))
            found.append(
                ServerSetting(_RUNNING, running, 1, high, "requests that it runs at a time at most", True, refused)
            )
        exists = await self._get("/reset_prefix_cache")  # a path that is there, and takes no GET
        told = "" if exists.status in (200, 405) else _refused(exists)
        return (*found, _emptying(told))

    async def _get(self, path: str) -> ReceivedAnswer:
        return await self._asker.get(path, self._headers, timeout_s=ANSWER_S)

    async def _send(self, method: Literal["POST", "PATCH"], path: str, body: object) -> ReceivedAnswer:
        headers = self._headers | {"content-type": "application/json"}
        return await self._asker.send(method, path, json.dumps(body).encode(), headers, timeout_s=ANSWER_S)


def _emptying(refused: str) -> ServerSetting:
    words = "1: what it has cached is dropped before the segment begins, which cannot be set back"
    return ServerSetting(EMPTIED, 0.0, 0.0, 1.0, words, True, refused)


def _adapters(answer: ReceivedAnswer) -> list[tuple[int, str, float]]:
    """Number, name and scale of each."""
    try:
        told = json.loads(body_of(answer)) if answer.status == 200 and answer.whole else []
    except (ValueError, RecursionError):
        return []
    found = []
    for one in told[:MOST_ADAPTERS] if isinstance(told, list) else ():
        number, scale = (_whole(one.get("id")), _finite(one.get("scale"))) if isinstance(one, dict) else (None, None)
        if number is not None and scale is not None:
            found.append((number, one_line(str(one.get("path", "")).rpartition("/")[2], 60), scale))
    return found


def _refused(answer: ReceivedAnswer) -> str:
    """Why a change is none, in the server's words; empty: it is made."""
    if (told := refusal(answer)) is not None:
        return one_line(told.message, 200)
    try:
        page: Any = json.loads(body_of(answer) or b"null")
    except (ValueError, RecursionError):
        return ""
    for state in page[:MOST_ADAPTERS] if isinstance(page, list) else [page]:
        if isinstance(state, dict) and (state.get("updated") is False or state.get("success") is False):
            return one_line(str(state.get("message") or state.get("error") or "it did not take it"), 200)
    return ""


def _number(name: str, value: float) -> float | int:
    return int(value) if _SGLANG[name][2] else value


def _finite(value: object) -> float | None:
    known = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15
    return float(value) if known and math.isfinite(value) else None  # type: ignore[arg-type]


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 31 else None
