"""A certificate authority for tests, and certificates for this machine."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Certificate", "make_certificate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A certificate for localhost and 127.0.0.1.

    Attributes
    ----------
    ca : PEM of the authority that signed it
    cert, key : PEM of the certificate and of its key
    both : PEM of both
    """

    ca: Path
    cert: Path
    key: Path
    both: Path


def make_certificate(folder: Path, name: str = "server") -> Certificate:
    """Make an authority of its own and a certificate that it signs, valid for two days."""
    folder.mkdir(parents=True, exist_ok=True)
    ca, ca_key = folder / f"{name}-ca.pem", folder / f"{name}-ca.key"
    cert, key, request = folder / f"{name}.pem", folder / f"{name}.key", folder / f"{name}.csr"
    new = ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    whose = ["-x509", "-days", "2", "-subj", f"/CN=test authority {name}"]
    usage = ["-addext", "keyUsage=critical,keyCertSign,cRLSign"]  # Python 3.13 looks for it
    _run([*new, *whose, *usage, "-keyout", str(ca_key), "-out", str(ca)])
    _run([*new, "-subj", "/CN=localhost", "-keyout", str(key), "-out", str(request)])
    extensions = folder / f"{name}.ext"
    extensions.write_text(
        "subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\nsubjectKeyIdentifier=hash\n"
        "authorityKeyIdentifier=keyid\nkeyUsage=digitalSignature\nextendedKeyUsage=serverAuth,clientAuth\n"
    )
    signer = ["-CA", str(ca), "-CAkey", str(ca_key), "-CAcreateserial", "-extfile", str(extensions)]
    _run(["openssl", "x509", "-req", "-days", "2", "-in", str(request), *signer, "-out", str(cert)])
    both = folder / f"{name}-both.pem"
    both.write_bytes(cert.read_bytes() + key.read_bytes())
    return Certificate(ca=ca, cert=cert, key=key, both=both)


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
