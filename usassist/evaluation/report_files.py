"""Report files: figures as JSON and CSV, images as PNG, and the command line without machine paths."""

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

__all__ = ["describe_command", "to_json", "write_csv", "write_image", "write_json", "write_text"]


def to_json(value: Any) -> Any:
    """Convert a value to what JSON can represent: dataclasses become objects, NaN becomes null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return to_json(value.tolist())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [to_json(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write a JSON document atomically.

    Raises
    ------
    SessionError
        If it cannot be written.
    """
    write_text(path, json.dumps(to_json(document), indent=2, allow_nan=False) + "\n")


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows with the same keys as CSV; NaN and None become an empty field, floats get six digits.

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


def write_image(path: Path, image: npt.NDArray[np.uint8]) -> None:
    """Write an image, uint8 (H, W, 3) in BGR, as PNG.

    Raises
    ------
    SessionError
        If it cannot be written.
    """
    _write(path, cv2.imencode(".png", image)[1].tobytes())


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically; creates the folder.

    Raises
    ------
    SessionError
        If it cannot be written.
    """
    _write(path, text.encode("utf-8"))


def describe_command(program: str, arguments: Sequence[str]) -> str:
    """The command line with paths relative to the data folder, and without other absolute paths."""
    try:
        root = data_dir().resolve()
    except ConfigError:
        root = None
    return shlex.join([*shlex.split(program), *(_describe_path(argument, root) for argument in arguments)])


def _describe_path(argument: str, root: Path | None) -> str:
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
