"""Certificate and key, checked before anything is started."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

from usassist.config import PanelConfig
from usassist.errors import UsageError

__all__ = ["check_tls"]


def check_tls(config: PanelConfig) -> bool:
    """True when the page is to be served over TLS, and certificate and key fit each other.

    Raises
    ------
    UsageError
        If one of them is missing, cannot be read, or does not fit; or if others may read the key.
    """
    if not config.tls_cert and not config.tls_key:
        return False
    if not config.tls_cert or not config.tls_key:
        raise UsageError("TLS needs a certificate and its key; give --tls-cert and --tls-key")
    for path in (config.tls_cert, config.tls_key):
        if not Path(path).is_file() or not os.access(path, os.R_OK):
            raise UsageError(f"{path} cannot be read; name the certificate (--tls-cert) and its key (--tls-key) as PEM")
    if Path(config.tls_key).stat().st_mode & 0o007:
        raise UsageError(f"the key {config.tls_key} can be read by everybody; chmod 600 {config.tls_key}")
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(config.tls_cert, config.tls_key, password=_no_password)
    except (ssl.SSLError, OSError) as error:
        reason = getattr(error, "reason", None) or error.strerror or str(error)
        words = str(reason).replace("_", " ").lower()
        raise UsageError(f"{config.tls_cert} and {config.tls_key} cannot be used: {words}; give a PEM pair") from error
    return True


def _no_password() -> str:
    raise UsageError("the key of --tls-key has a passphrase; give one without: openssl pkey -in KEY -out NEW")
