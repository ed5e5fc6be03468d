"""The keys with which a stream and its viewers authenticate each other, as files in one private folder.

======================= ==========================================================================================
``stream.key``          secret key of the streams that this user publishes
``viewer.key``          secret key of this user's viewers and recorders
``allowed/NAME.pub``    public key of another user: of a viewer that may connect, or of a stream that is expected
======================= ==========================================================================================

A key is a pair of CURVE25519, as ``CurveZMQ`` uses it: https://rfc.zeromq.org/spec/26/. As text it is ``stream-`` or
``viewer-`` and 64 hexadecimal digits, in a secret key file ``secret-`` before that, so that none is mistaken for
another and none needs quotes in a shell. Own keys need not be allowed: a process that can read them owns both ends.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Literal, cast

import zmq
from zmq.utils import z85

from usassist.common.private_files import write_atomic
from usassist.config import keys_dir
from usassist.errors import BusKeyError

__all__ = ["OWN", "ROLES", "Keyring", "Role", "role_of"]

Role = Literal["stream", "viewer"]
ROLES: tuple[Role, ...] = ("stream", "viewer")
OWN = "own"
"""The name of this user's own stream among those that are expected."""

_KEY = re.compile(r"(stream|viewer)-([0-9a-f]{64})")
_NAME = re.compile(r"[a-z0-9_-]{1,40}")


class Keyring:
    """The keys of this user.

    Parameters
    ----------
    folder : where they are; None = :func:`usassist.config.keys_dir`

    Raises
    ------
    ConfigError
        If that folder cannot be created, or others may enter it.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = keys_dir() if folder is None else folder

    def make(self, role: Role) -> str:
        """Make a key pair; the secret never leaves its file.

        Returns
        -------
        public : the public key as text

        Raises
        ------
        BusKeyError
            If there is one already, or the file cannot be written.
        """
        path = self._secret_path(role)
        public, secret = zmq.curve_keypair()
        if not _write_new(path, f"secret-{role}-{z85.decode(secret).hex()}\n"):
            raise BusKeyError(
                f"{path} is there already, and others may count on its public key; to replace it, remove the file"
            )
        return _text(role, z85.decode(public))

    def public_key(self, role: Role) -> str:
        """This user's public key as text.

        Raises
        ------
        BusKeyError
            If there is none, or its file may be read by others.
        """
        return _text(role, z85.decode(zmq.curve_public(z85.encode(self.secret_key(role)))))

    def secret_key(self, role: Role) -> bytes:
        """This user's secret key, 32 bytes.

        Raises
        ------
        BusKeyError
            If there is none, its file may be read by others or belongs to another user, or holds no key.
        """
        path = self._secret_path(role)
        text = _read(path, 0o077, f"chmod 600 {path}", f"make one with: usassist keys make {role}")
        kind, _, rest = text.partition("-")
        found = _KEY.fullmatch(rest)
        if kind != "secret" or found is None or found[1] != role:
            raise BusKeyError(f"{path} holds no {role} key; remove it and run: usassist keys make {role}")
        return bytes.fromhex(found[2])

    def has_key(self, role: Role) -> bool:
        """True when this user has a key pair for that."""
        return self._secret_path(role).exists()

    def allow(self, key: str, name: str) -> Role:
        """Accept another user's public key from now on; a running stream need not be restarted.

        Parameters
        ----------
        key : ``viewer-…`` may watch our streams, ``stream-…`` is a stream that we expect
        name : under which it is listed, ``[a-z0-9_-]+``

        Raises
        ------
        BusKeyError
            If the key or the name is malformed, the name is taken, or the file cannot be written.
        """
        role = role_of(key)
        if not _NAME.fullmatch(name) or name == OWN:
            raise BusKeyError(f"{name!r} is no name for a key; use small letters, digits, - and _, and not {OWN}")
        if not _write_new(self._allowed_path(name), key + "\n"):
            raise BusKeyError(
                f"there is a key named {name} already; choose another --name, or: usassist keys forget {name}"
            )
        return role

    def forget(self, name: str) -> None:
        """Accept a key no longer. Existing connections stay until one end closes.

        Raises
        ------
        BusKeyError
            If there is none of that name.
        """
        try:
            self._allowed_path(name if _NAME.fullmatch(name) else "").unlink()
        except OSError as error:
            raise BusKeyError(f"there is no key named {name}; usassist keys list shows them") from error

    def allowed(self, role: Role) -> dict[str, bytes]:
        """The keys of others that are accepted: name → public key, 32 bytes.

        Raises
        ------
        BusKeyError
            If a file may be changed by others or holds no key.
        """
        found = {}
        for path in sorted((self.folder / "allowed").glob("*.pub")):
            text = _read(path, 0o022, f"chmod 600 {path}", "look into the folder")
            if role_of(text, path) == role:
                found[path.stem] = bytes.fromhex(text.partition("-")[2])
        return found

    def viewer_keys(self) -> set[bytes]:
        """Public keys, 32 bytes each, of all viewers that may connect: the allowed, and this user's own.

        Raises
        ------
        BusKeyError
            If a file of keys is malformed or open to others.
        """
        own = {_bytes(self.public_key("viewer"))} if self.has_key("viewer") else set()
        return own | set(self.allowed("viewer").values())

    def stream_keys(self) -> dict[str, bytes]:
        """The streams that may be expected, name → public key, 32 bytes; this user's own is named ``own``.

        Raises
        ------
        BusKeyError
            If a file of keys is malformed or open to others.
        """
        own = {OWN: _bytes(self.public_key("stream"))} if self.has_key("stream") else {}
        return own | self.allowed("stream")

    def _secret_path(self, role: Role) -> Path:
        return self.folder / f"{role}.key"

    def _allowed_path(self, name: str) -> Path:
        folder = self.folder / "allowed"
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder / f"{name}.pub"


def role_of(key: str, path: Path | None = None) -> Role:
    """The role of a public key in text form.

    Raises
    ------
    BusKeyError
        If it is no public key.
    """
    found = _KEY.fullmatch(key)
    if found is None:
        where = "the text given" if path is None else f"the text in {path}"
        raise BusKeyError(f"{where} is no public key; usassist keys show prints one on the other machine")
    return cast(Role, found[1])


def _text(role: Role, key: bytes) -> str:
    return f"{role}-{key.hex()}"


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.partition("-")[2])


def _read(path: Path, forbidden: int, fix: str, missing: str) -> str:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise BusKeyError(f"there is no {path}; {missing}") from None
    except OSError as error:
        raise BusKeyError(f"{path} cannot be read: {error.strerror}; it must be a file of your own") from error
    with open(descriptor, encoding="ascii", errors="replace") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.getuid():
            raise BusKeyError(f"{path} must be a file of your own; remove it and make it again")
        if status.st_mode & forbidden:
            raise BusKeyError(f"{path} is open to others (mode {status.st_mode & 0o777:04o}); run: {fix}")
        return file.read(200).strip()


def _write_new(path: Path, text: str) -> bool:
    """Write a file that only this user can read, whole or not at all; False when there is one already."""
    try:
        write_atomic(path, text.encode("ascii"), replace=False)
    except FileExistsError:
        return False
    except OSError as error:
        raise BusKeyError(f"{path} cannot be written: {error.strerror}; check the permissions of its folder") from error
    return True
