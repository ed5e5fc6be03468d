"""The secret key of a de-identification: it decides new UIDs, pseudonyms, and how far dates are moved.

With the same key the same patient gets the same pseudonym and the same object the same UID, in every run. Who has the
key can test a guess, so it is kept like the identity itself, and it is never written into the output.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from usassist.common.private_files import open_private, write_atomic
from usassist.dicom.uids import keyed_uid
from usassist.errors import UsageError

__all__ = ["Pseudonyms", "read_key"]

_KEY_BYTES = 32
_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # 32, without those that are easily taken for another
_LETTERS_OF_ID = 12
_MOST_DAYS = 3650
_DAY_S = 86_400


def read_key(path: Path | None) -> bytes:
    """The key of a file, which is made where there is none; without a path a key that nobody will know.

    Parameters
    ----------
    path : of the key file, 64 hexadecimal digits, mode 0600

    Raises
    ------
    UsageError
        If the file is not private, holds no key, or cannot be read or made.
    """
    if path is None:
        return secrets.token_bytes(_KEY_BYTES)
    try:
        try:
            descriptor = open_private(path)
        except FileNotFoundError:
            write_atomic(path, secrets.token_hex(_KEY_BYTES).encode("ascii"), b"\n", replace=False)
            descriptor = open_private(path)
        with os.fdopen(descriptor, "rb") as file:
            if os.fstat(descriptor).st_mode & 0o077:
                raise UsageError(f"the key file {path} can be read by others; make it private with: chmod 600 {path}")
            text = file.read(4096)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(f"the key file {path} cannot be used: {reason}; name another with --key-file") from error
    try:
        key = bytes.fromhex(text.decode("ascii").strip())
    except ValueError:
        key = b""
    if len(key) != _KEY_BYTES:
        raise UsageError(f"{path} holds no key of 64 hexadecimal digits; name another file with --key-file")
    return key


@dataclass(frozen=True, slots=True)
class Pseudonyms:
    """What the key makes of UIDs and patients.

    Parameters
    ----------
    key : of :func:`read_key`
    """

    key: bytes = field(repr=False)

    def uid(self, uid: str) -> str:
        """The new UID of a UID, always the same one with the same key."""
        return keyed_uid(self.key, uid)

    def patient(self, identity: str) -> str:
        """A pseudonym for a patient, ``DEID-`` and 12 letters or digits (60 bits of HMAC-SHA-256)."""
        number = int.from_bytes(self._digest("patient", identity)[:8], "big")
        return "DEID-" + "".join(_LETTERS[(number >> (5 * place)) & 31] for place in range(_LETTERS_OF_ID))

    def shift(self, identity: str) -> timedelta:
        """By how much the dates of a patient are moved back: 1 to 3650 days and a part of a day, in whole seconds."""
        number = int.from_bytes(self._digest("dates", identity)[:8], "big")
        return timedelta(seconds=-(_DAY_S + number % ((_MOST_DAYS - 1) * _DAY_S)))

    def _digest(self, purpose: str, text: str) -> bytes:
        return hmac.digest(self.key, f"{purpose}\0{text}".encode("utf-8", "surrogatepass"), hashlib.sha256)
