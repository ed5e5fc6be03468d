"""The HTTP session of a DICOMweb archive, and what its failures mean."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import os
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from usassist.dicom.network.nodes import WebNode
from usassist.errors import ArchiveDownError, ArchiveError, ArchiveRefusedError, UsageError

__all__ = ["NothingThereError", "open_session", "told", "web_library"]

_LATER = frozenset({408, 425, 429, 500, 502, 503, 504, 507})
_READABLE_BY_OTHERS = 0o077


class NothingThereError(ArchiveRefusedError):
    """HTTP 404: the address is wrong, or the study that is part of it is not there."""


def web_library() -> Any:
    """The module ``dicomweb_client``.

    Raises
    ------
    UsageError
        If it is not installed.
    """
    try:
        import dicomweb_client
    except ImportError as error:
        raise UsageError("DICOMweb needs dicomweb-client; install it with: pip install 'usassist[dicom]'") from error
    for name in ("dicomweb_client", "urllib3", "requests", "retrying"):
        logging.getLogger(name).setLevel(logging.ERROR)  # their messages hold addresses, and these what was asked for
    return dicomweb_client


def open_session(node: WebNode) -> Any:
    """A ``requests.Session`` that trusts and authenticates as the node says, and takes nothing from the environment.

    Raises
    ------
    UsageError
        If a secret would leave unencrypted to another machine, or the library is missing.
    ArchiveError
        If a file cannot be read, or others may read a secret.
    """
    web_library()
    import requests

    class Adapter(requests.adapters.HTTPAdapter):
        """Leaves the wildcards * and ? of a search as they are (RFC 3986 section 3.4 allows it).

        The library escapes them, and Orthanc 1.10 then takes them for ordinary characters.
        """

        def send(self, request: Any, *args: Any, **kwargs: Any) -> Any:
            path, mark, search = (request.url or "").partition("?")
            request.url = path + mark + search.replace("%2A", "*").replace("%3F", "?")
            return super().send(request, *args, **kwargs)

    session = requests.Session()
    for scheme in ("https://", "http://"):
        session.mount(scheme, Adapter())
    session.trust_env = False  # no password from ~/.netrc, no proxy that nobody named
    if (node.user or node.token_file) and not _is_private(node.url):
        raise UsageError(f"{node.name}: over http:// others could read the password; use https://")
    if node.token_file:
        session.headers["Authorization"] = f"Bearer {_secret(node, node.token_file)}"
    elif node.user:
        session.auth = requests.auth.HTTPBasicAuth(node.user.encode(), _secret(node, node.password_file).encode())
    session.verify = _authorities(node)
    return session


@contextlib.contextmanager
def told(node: WebNode) -> Iterator[None]:
    """What an HTTP request raises, as one line without the address that was asked, which may name a patient.

    Raises
    ------
    ArchiveDownError
        If it may be asked again.
    ArchiveRefusedError
        If it would answer the same again.
    """
    import requests

    name = node.name
    try:
        yield
    except requests.exceptions.HTTPError as error:
        status = 0 if error.response is None else error.response.status_code
        raise _of_status(name, status) from None
    except requests.exceptions.JSONDecodeError:
        raise ArchiveRefusedError(
            f"{name} answers with something else than DICOMweb (no JSON); check its url"
        ) from None
    except requests.exceptions.TooManyRedirects:
        raise ArchiveRefusedError(f"{name} sends on and on to other addresses; check its url") from None
    except requests.exceptions.SSLError as error:
        raise _of_tls(name, node.ca, str(error)) from None
    except requests.exceptions.Timeout:
        raise ArchiveDownError(
            f"{name} does not answer within {node.timeout_s:g} s; see whether it runs, or raise timeout_s"
        ) from None
    except (requests.exceptions.ConnectionError, requests.exceptions.ChunkedEncodingError) as error:
        reason = "the connection ended in the middle" if _was_cut(str(error)) else "it cannot be reached"
        raise ArchiveDownError(f"{name}: {reason}; see whether it runs at {node.url}, and try again") from None
    except requests.exceptions.RequestException as error:
        raise ArchiveRefusedError(
            f"{name} cannot be asked ({type(error).__name__}); check its url {node.url}"
        ) from None


def _of_status(name: str, status: int) -> ArchiveError:
    if status == 401:
        return ArchiveRefusedError(f"{name} does not accept the password or token (HTTP 401); check user and file")
    if status == 403:
        return ArchiveRefusedError(f"{name} does not allow this (HTTP 403); ask for the right to it")
    if status == 404:
        return NothingThereError(f"{name} has nothing there (HTTP 404); check that its url is the root of DICOMweb")
    if status in _LATER:
        return ArchiveDownError(f"{name} cannot answer now (HTTP {status}); try again later")
    if 300 <= status < 400:
        return ArchiveRefusedError(f"{name} has moved (HTTP {status}); set url to its new address")
    return ArchiveRefusedError(f"{name} refuses this (HTTP {status}); check its url, and what it supports")


def _of_tls(name: str, ca: str, reason: str) -> ArchiveError:
    if "CERTIFICATE_VERIFY_FAILED" in reason:
        what = "is not for this host" if "match" in reason or "valid for" in reason else "is not signed by"
        whose = "" if what.endswith("host") else f" {ca or 'an authority that this machine trusts'}"
        return ArchiveRefusedError(f"the certificate of {name} {what}{whose}; check url and ca")
    if "WRONG_VERSION_NUMBER" in reason or "RECORD_LAYER" in reason:
        return ArchiveRefusedError(f"{name} speaks no TLS there; check its port, or write http://")
    return ArchiveDownError(f"{name}: the encrypted connection failed; see whether it runs, and try again")


def _was_cut(reason: str) -> bool:
    return any(word in reason for word in ("aborted", "reset", "Broken pipe", "IncompleteRead", "prematurely"))


def _is_private(url: str) -> bool:
    """True when nobody on the way can read what is sent: TLS, or this machine."""
    parts = urlsplit(url)
    if parts.scheme == "https" or parts.hostname == "localhost":
        return True
    try:
        return ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False


def _secret(node: WebNode, path: str) -> str:
    """The first line of a file that only this user can read."""
    file = Path(path).expanduser()
    try:
        is_open_to_others = file.stat().st_mode & _READABLE_BY_OTHERS
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        reason = (error.strerror or "unknown reason").lower()
        raise ArchiveRefusedError(
            f"{node.name}: {file} cannot be read: {reason}; name the file of the secret"
        ) from error
    except UnicodeDecodeError:
        raise ArchiveRefusedError(f"{file} is no text; write the secret into its first line") from None
    if is_open_to_others:
        raise ArchiveRefusedError(f"others may read {file}; run: chmod 600 {file}")
    if not lines or not lines[0].strip():
        raise ArchiveRefusedError(f"{file} is empty; write the secret into its first line")
    return lines[0].strip()


def _authorities(node: WebNode) -> str | bool:
    """What certificates are checked against: a file, or those that this machine trusts."""
    if node.ca:
        file = Path(node.ca).expanduser()
        try:
            ssl.create_default_context(cafile=str(file))
        except (OSError, ssl.SSLError) as error:
            raise ArchiveRefusedError(
                f"{node.name}: {file} holds no certificates that can be read; give a PEM file"
            ) from error
        return str(file)
    paths = ssl.get_default_verify_paths()
    for place in (paths.cafile, paths.capath):
        if place and os.path.exists(place):
            return place
    return True  # the authorities that come with requests
