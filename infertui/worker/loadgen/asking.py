"""The bytes of requests: head and body in one write."""

from infertui import __version__
from infertui.config.endpoint import LoadConfig, TargetConfig
from infertui.config.schema import WorkloadConfig
from infertui.load.plan import PlannedRequest
from infertui.targets.endpoint.address import EndpointAddress
from infertui.targets.endpoint.dialect import AskedRequest, ChatMessage, Dialect
from infertui.targets.endpoint.extras import further_fields, further_headers, headers_of


class Asker:
    """Makes requests of what is planned, as one server wants them."""

    def __init__(
        self,
        dialect: Dialect,
        address: EndpointAddress,
        model: str,
        key: str,
        *,
        target: TargetConfig,
        load: LoadConfig,
        workload: WorkloadConfig,
        without: tuple[str, ...] = (),
    ) -> None:
        """Raises ConfigError for headers or fields that cannot be sent."""
        self._dialect = dialect
        self._model = model
        self._target, self._load, self._workload = target, load, workload
        self._without = without
        self._extra = further_fields(target)
        path = address.path(dialect.path(model, streaming=target.streaming))
        headers = {
            "host": address.authority,
            "user-agent": f"infertui/{__version__}",
            "accept-encoding": "identity",
            "content-type": "application/json",
        }
        own = headers_of(dialect, target, key)
        headers |= {name.lower(): value for name, value in own.items()} | further_headers(target)
        lines = (f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "content-length: ")
        self._head = "\r\n".join(lines).encode()

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
                without=self._without,
            )
        )
        return messages, b"%b%d\r\n\r\n%b" % (self._head, len(body), body)
