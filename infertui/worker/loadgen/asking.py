"""The bytes of requests: head and body in one write."""

import itertools

import msgspec

from infertui import __version__
from infertui.config.endpoint import LoadConfig, TargetConfig
from infertui.config.schema import WorkloadConfig
from infertui.errors import ConfigError
from infertui.load.plan import PlannedRequest
from infertui.targets.endpoint.dialect import AskedRequest, ChatMessage, Dialect
from infertui.worker.loadgen.dialing import Address


class Asker:
    """Makes requests of what is planned, as one server wants them."""

    def __init__(
        self,
        dialect: Dialect,
        address: Address,
        model: str,
        key: str,
        *,
        target: TargetConfig,
        load: LoadConfig,
        workload: WorkloadConfig,
    ) -> None:
        """Raises ConfigError for headers or a body that are none."""
        self._dialect = dialect
        self._model = model
        self._target, self._load, self._workload = target, load, workload
        self._extra = _json_object(target.body, "target.body")
        path = address.path(dialect.path(model, streaming=target.streaming))
        headers = {
            "host": address.authority,
            "user-agent": f"infertui/{__version__}",
            "accept-encoding": "identity",
            "content-type": "application/json",
        }
        for name, value in itertools.chain(
            dialect.headers(key).items(), _json_object(target.headers, "target.headers").items()
        ):
            headers[name.lower()] = str(value)
        lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        if any(ord(letter) < 32 or ord(letter) == 127 for line in lines for letter in line):
            raise ConfigError("target.headers", "hold a control character", allowed="text on one line each")
        try:
            self._head = "\r\n".join((*lines, "content-length: ")).encode("latin-1")
        except UnicodeEncodeError:
            raise ConfigError("target.headers", "hold letters beyond Latin-1", allowed="Latin-1") from None

    def make(self, planned: PlannedRequest, history: tuple[ChatMessage, ...]) -> tuple[tuple[ChatMessage, ...], bytes]:
        """All of a conversation up to what the user says now, and the whole request that says so."""
        messages = (*history, ChatMessage("user", planned.prompt))
        workload = self._workload
        body = self._dialect.body(
            AskedRequest(
                model=self._model,
                messages=messages,
                output_tokens=planned.output_tokens,
                exactly=self._load.ignore_eos,
                streaming=self._target.streaming,
                temperature=workload.temperature,
                top_k=workload.top_k,
                top_p=workload.top_p,
                seed=workload.seed + planned.index if workload.temperature else None,
                extra=self._extra,
            )
        )
        return messages, b"%b%d\r\n\r\n%b" % (self._head, len(body), body)


def _json_object(text: str, key: str) -> dict[str, object]:
    if not text.strip():
        return {}
    try:
        found = msgspec.json.decode(text, type=dict[str, object])
    except msgspec.DecodeError as error:
        raise ConfigError(key, f"is no JSON object: {error}", allowed='an object, as in {"a": 1}') from None
    return found
