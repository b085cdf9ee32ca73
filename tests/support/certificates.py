"""Certificates that `openssl` makes: an authority, and one for 127.0.0.1 that it signed."""

import subprocess
from pathlib import Path

from msgspec import Struct


class Certificates(Struct, frozen=True):
    """PEM files. `other_key` belongs to none of them."""

    authority: Path
    certificate: Path
    key: Path
    other_key: Path


def made(folder: Path) -> Certificates:
    """Make them in a folder."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=60)

    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
    openssl("req", "-x509", *new, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=an authority of a test",
            "-addext", "keyUsage=critical,keyCertSign")  # fmt: skip
    openssl("req", "-x509", *new, "-keyout", "key.pem", "-out", "cert.pem", "-subj", "/CN=box", "-CA", "ca.pem",
            "-CAkey", "ca.key", "-addext", "subjectAltName=IP:127.0.0.1",
            "-addext", "basicConstraints=critical,CA:FALSE")  # fmt: skip
    return Certificates(folder / "ca.pem", folder / "cert.pem", folder / "key.pem", folder / "ca.key")
