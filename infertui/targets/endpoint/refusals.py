"""Why a server cannot be used, in words that a user can act on."""

import re

from infertui.config.endpoint import TargetConfig
from infertui.errors import ConfigError, InfertuiError, ServerError
from infertui.targets.endpoint.address import EndpointAddress
from infertui.targets.endpoint.dialect import ReceivedAnswer
from infertui.targets.endpoint.dialects.reading import body_of, refusal
from infertui.text import one_line, quoted

_LOADING = re.compile(rb"loading|starting|warming|initiali[sz]ing|not ready|being loaded", re.IGNORECASE)
_NO_MODEL = re.compile(
    rb"unknown model|invalid model|no such model|model.{0,200}?(?:not found|does not exist|doesn't exist|not exist)",
    re.IGNORECASE | re.DOTALL,
)
_SHOWN_MODELS = 10
_NO_HTTP = "If it speaks TLS, write https://; if that is a port for gRPC or metrics, take the one for HTTP."


def is_loading(received: ReceivedAnswer) -> bool:
    """Whether it says that its model is still being loaded."""
    return received.status == 503 and _LOADING.search(body_of(received)[:4096]) is not None


def is_no_model(received: ReceivedAnswer) -> bool:
    """Whether it says that it does not have the model that was asked for."""
    return received.status in (400, 404, 422) and _NO_MODEL.search(body_of(received)[:4096]) is not None


def refusal_of(
    received: ReceivedAnswer,
    target: TargetConfig,
    address: EndpointAddress,
    *,
    key: bool,
    model: str = "",
    models: tuple[str, ...] = (),
) -> InfertuiError | None:
    """The error that an answer is, from the connection up to its status; None: it has to be read.

    `key`: one was sent. `models` are those that the server lists.
    """
    if not received.status:
        return _unreached(received, address)
    told = refusal(received)
    if told is None:
        return None
    if told.error == "malformed":
        return ServerError(
            f"{address.shown} answers with {told.message}",
            remedy="target.url has to be the address of the server's API, with its port.",
        )
    message = f"{address.shown}: {told.message}"
    if received.status in (401, 403):
        return ServerError(message, remedy=_for_keys(key, address))
    if is_loading(received):
        return ServerError(message, remedy="It was waited for; ask again once it is loaded.")
    if is_no_model(received):
        problem = f"the server has no model {quoted(target.model or model)} ({one_line(told.message)})"
        return ConfigError("target.model", problem, allowed=_names(models) or "what the server has")
    if received.status in (404, 405, 501):
        return ServerError(message, remedy="Set target.api to the dialect that it speaks, or mend target.url.")
    if received.status == 429:
        return ServerError(message, remedy="It takes no more requests for now: ask again later.")
    return ServerError(message)


def _unreached(received: ReceivedAnswer, address: EndpointAddress) -> ServerError:
    why = one_line(received.message)
    if received.broken == "tls":
        if "CERTIFICATE_VERIFY_FAILED" in why:
            remedy = "Name the certificate to trust by target.ca_file, or set target.insecure=true."
        else:
            remedy = "If it speaks no TLS, write http:// in target.url."
        return ServerError(f"no TLS with {address.shown}: {why}", remedy=remedy)
    if received.broken == "connect":
        return ServerError(
            f"nothing answers at {address.shown}: {why}",
            remedy="Start the server there, or set target.url to where it is.",
        )
    if received.broken == "timeout":
        return ServerError(f"{address.shown} takes connections and does not answer: {why}")
    if received.broken == "reset":
        return ServerError(f"{address.shown} breaks connections off: {why}", remedy="" if address.tls else _NO_HTTP)
    return ServerError(f"{address.shown} does not speak HTTP: {why}", remedy="" if address.tls else _NO_HTTP)


def _for_keys(key: bool, address: EndpointAddress) -> str:
    if key:
        return "Its key is another one, or wanted in another header: see target.api_key_env and target.api_key_header."
    remedy = "Set target.api_key_env to the variable that holds its key."
    if not (address.tls or address.loopback):
        remedy += " The key of OPENAI_API_KEY goes unasked to this machine or through TLS alone."
    return remedy


def _names(models: tuple[str, ...]) -> str:
    more = f" and {len(models) - _SHOWN_MODELS} more" if len(models) > _SHOWN_MODELS else ""
    return ", ".join(models[:_SHOWN_MODELS]) + more
