"""Figures as JSON and CSV, and the command line that printed them without the paths of a machine."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from usassist.common.private_files import write_atomic
from usassist.config import data_dir
from usassist.errors import ConfigError, SessionError

__all__ = ["plain", "tell_command", "write_csv", "write_image", "write_json", "write_text"]


def plain(value: Any) -> Any:
    """The value as JSON can hold it: it has neither dataclasses nor NaN."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write a document, whole or not at all.

    Raises
    ------
    SessionError
        If it cannot be written.
    """
    write_text(path, json.dumps(plain(document), indent=2, allow_nan=False) + "\n")


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows that have the same keys; NaN and None become an empty field, numbers get six digits.

    Raises
    ------
    SessionError
        If it cannot be written.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: _field(value) for key, value in row.items()})
    write_text(path, text.getvalue())


def write_image(path: Path, picture: npt.NDArray[np.uint8]) -> None:
    """Write a picture (BGR) as PNG.

    Raises
    ------
    SessionError
        If it cannot be written.
    """
    _write(path, cv2.imencode(".png", picture)[1].tobytes())


def write_text(path: Path, text: str) -> None:
    """Write a text, whole or not at all; makes the folder.

    Raises
    ------
    SessionError
        If it cannot be written.
    """
    _write(path, text.encode("utf-8"))


def tell_command(program: str, arguments: Sequence[str]) -> str:
    """The command line with paths below the folder of data named from there on, and no other absolute path."""
    try:
        root = data_dir().resolve()
    except ConfigError:
        root = None
    return shlex.join([*shlex.split(program), *(_tell_path(argument, root) for argument in arguments)])


def _tell_path(argument: str, root: Path | None) -> str:
    option, equals, value = argument.rpartition("=") if argument.startswith("--") else ("", "", argument)
    if "/" not in value:
        return argument
    path = Path(value)
    if root is not None and path.resolve().is_relative_to(root):
        value = path.resolve().relative_to(root).as_posix()
    elif path.is_absolute():
        value = path.name
    return f"{option}{equals}{value}"


def _field(value: Any) -> Any:
    if isinstance(value, float):
        return f"{value:.6g}" if math.isfinite(value) else ""
    return "" if value is None else value


def _write(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, data)
    except OSError as error:
        raise SessionError(f"{path} cannot be written: {error.strerror}; choose another place") from error
