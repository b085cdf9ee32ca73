"""Which certificates are trusted."""

from typing import TYPE_CHECKING

from infertui.config.endpoint import TargetConfig
from infertui.errors import ConfigError
from infertui.text import error_text, quoted

if TYPE_CHECKING:
    import ssl


def tls_context(target: TargetConfig) -> "ssl.SSLContext":
    """For HTTP/1.1 with a server. Raises ConfigError for a `ca_file` that cannot be read."""
    # Clients that need none start without it.
    import ssl

    try:
        context = ssl.create_default_context(cafile=target.ca_file or None)
    except (OSError, ValueError) as error:
        problem = f"{quoted(target.ca_file)} cannot be read: {error_text(error)}"
        raise ConfigError("target.ca_file", problem, allowed="a file of certificates, PEM") from None
    if target.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    return context
