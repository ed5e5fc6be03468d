"""A password, kept as its scrypt hash in a file of mode 0600: ``scrypt$N$R$P$SALT$HASH``, the last two in base64."""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from usassist.errors import UsageError
from usassist.sinks.panel.access.run_secrets import same_text
from usassist.sinks.panel.access.secret_file import read_secret, write_secret

__all__ = ["MAX_CHARACTERS", "MIN_CHARACTERS", "PasswordHash", "hash_password", "read_password", "write_password"]

MIN_CHARACTERS = 10
MAX_CHARACTERS = 256
# One of the settings that OWASP names as equal in strength; 32 MiB, and about 0.2 s on one core.
_N, _R, _P = 2**15, 8, 3
_MAX_MEMORY = 2**27
_REMEDY = "make one with: usassist panel-password FILE"


@dataclass(frozen=True, slots=True)
class PasswordHash:
    """What is kept of a password.

    Attributes
    ----------
    n, r, p : cost of scrypt
    salt, digest : random, and what scrypt makes of the password with it
    """

    n: int
    r: int
    p: int
    salt: bytes
    digest: bytes

    def matches(self, password: str) -> bool:
        """True for the password; takes a few tenths of a second, in which other threads run."""
        if len(password) > MAX_CHARACTERS:
            return False
        return same_text(_scrypt(password, self.salt, self.n, self.r, self.p).hex(), self.digest.hex())

    def line(self) -> str:
        """As it stands in a file."""
        return "$".join(("scrypt", str(self.n), str(self.r), str(self.p), _text(self.salt), _text(self.digest)))


def hash_password(password: str) -> PasswordHash:
    """Hash a password with a new salt.

    Raises
    ------
    UsageError
        If it is too short or too long.
    """
    if not MIN_CHARACTERS <= len(password) <= MAX_CHARACTERS:
        raise UsageError(f"a password has {MIN_CHARACTERS} to {MAX_CHARACTERS} characters; choose another")
    salt = secrets.token_bytes(16)
    return PasswordHash(_N, _R, _P, salt, _scrypt(password, salt, _N, _R, _P))


def write_password(path: Path, password: str) -> None:
    """Write the hash of a password into a file, in the place of one that is there.

    Raises
    ------
    UsageError
        If the password is too short or too long, or the file cannot be written.
    """
    write_secret(path, hash_password(password).line(), replace=True)


def read_password(path: Path) -> PasswordHash:
    """Read the hash of a password.

    Raises
    ------
    UsageError
        If the file is missing, may be read by others, or holds no such hash.
    """
    try:
        line = read_secret(path, "password file", _REMEDY)
    except FileNotFoundError as error:
        raise UsageError(f"there is no password file {path}; {_REMEDY}") from error
    try:
        name, n, r, p, salt, digest = line.split("$")
        found = PasswordHash(int(n), int(r), int(p), base64.b64decode(salt, validate=True), base64.b64decode(digest))
        if name != "scrypt" or not found.salt or not found.digest:
            raise ValueError
        if not (2**14 <= found.n <= 2**18 and 1 <= found.r <= 32 and 1 <= found.p <= 16):
            raise ValueError
    except (ValueError, binascii.Error) as error:
        raise UsageError(f"{path} holds no hash of a password; {_REMEDY}") from error
    return found


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    typed = unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")  # keyboards compose differently
    return hashlib.scrypt(typed, salt=salt, n=n, r=r, p=p, maxmem=_MAX_MEMORY, dklen=32)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
