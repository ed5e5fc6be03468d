"""The secrets of one run of the page.

The process that supervises the page makes them once and hands them to every page process that it starts, over its
standard input: a page that is restarted accepts the cookies of the one before.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from pathlib import Path

from usassist.config import PanelConfig
from usassist.errors import UsageError
from usassist.sinks.panel.access.secret_file import read_secret, write_secret

__all__ = ["MIN_TOKEN_CHARACTERS", "RunSecrets", "make_secrets", "read_token", "same_text", "split_address"]

MIN_TOKEN_CHARACTERS = 20
_REMEDY = "name a new file, which is made, or write one line of at least 20 letters and digits into it"


@dataclass(frozen=True, slots=True)
class RunSecrets:
    """Secrets of a run; never logged, and on no command line.

    Attributes
    ----------
    token : in the address of the page; empty = none is accepted
    key_hex : signs the cookies
    """

    token: str
    key_hex: str

    def __repr__(self) -> str:
        """Without the secrets."""
        return "RunSecrets(…)"


def make_secrets(config: PanelConfig) -> RunSecrets:
    """Secrets for a run with these settings.

    With a token file the cookies stay valid over runs; without one, and on this machine, every run has a new token.

    Raises
    ------
    UsageError
        If the token file cannot be read or made, or its token is too short.
    """
    if config.token_file:
        token = _token_of(Path(config.token_file))
        return RunSecrets(token, hmac.digest(token.encode(), b"usassist panel cookies", hashlib.sha256).hex())
    with_token = config.token and not config.password_file
    return RunSecrets(secrets.token_urlsafe(32) if with_token else "", secrets.token_hex(32))


def same_text(one: str, other: str) -> bool:
    """Compare two texts in a time that does not tell where they differ."""
    return hmac.compare_digest(one.encode("utf-8", "surrogatepass"), other.encode("utf-8", "surrogatepass"))


def split_address(url: str) -> tuple[str, str]:
    """The address of a page without its token, and the token; empty where there is none."""
    address, _, token = url.partition("?token=")
    return address, token


def _token_of(path: Path) -> str:
    with contextlib.suppress(FileNotFoundError):
        return read_token(path)
    with contextlib.suppress(FileExistsError):  # another process was faster
        write_secret(path, secrets.token_urlsafe(32), replace=False)
    return read_token(path)


def read_token(path: Path) -> str:
    """The token of a file.

    Raises
    ------
    FileNotFoundError
        If there is none.
    UsageError
        If it cannot be read, others may read it, or the token is too short.
    """
    token = read_secret(path, "token file", _REMEDY)
    if len(token) < MIN_TOKEN_CHARACTERS or not all(letter.isalnum() or letter in "-_." for letter in token):
        raise UsageError(
            f"the token in {path} is too short, or has other characters than letters, digits and -_.; {_REMEDY}"
        )
    return token
