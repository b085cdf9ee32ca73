"""A certificate of this machine's own for as long as the server runs."""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infertui.errors import InfertuiError
from infertui.text import one_line

_TIMEOUT_S = 30


@contextmanager
def made_here() -> Iterator[tuple[Path, Path]]:
    """Certificate and key, PEM, for localhost, 127.0.0.1 and ::1. Needs the program openssl."""
    with tempfile.TemporaryDirectory(prefix="infertui-mock-") as folder:
        certificate, key = Path(folder) / "mock.pem", Path(folder) / "mock.key"
        command = (
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days",
            "2", "-subj", "/CN=infertui mock server", "-addext",
            "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1",
            "-keyout", str(key), "-out", str(certificate),
        )  # fmt: skip
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=_TIMEOUT_S)
        except (OSError, subprocess.SubprocessError) as error:
            said = getattr(error, "stderr", b"") or b""
            raise InfertuiError(
                f"--tls: no certificate could be made: {one_line(said.decode(errors='replace') or error)}",
                remedy="It is made by the program openssl. Or bring one: --tls-cert FILE --tls-key FILE.",
            ) from error
        yield certificate, key
