"""Writes a session folder from another one: atomic, private, with the checksums of all files."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from usassist.common.private_files import sync_file, sync_folder, write_atomic
from usassist.common.pyav import av
from usassist.errors import SessionError, SourceError
from usassist.records import FrameLine
from usassist.session.corrections_file import CORRECTIONS_FILE
from usassist.session.frame_images import open_video
from usassist.session.manifest import Manifest
from usassist.sinks.files import explain, make_private, sha256_of
from usassist.sinks.manifest import SESSION_SCHEMA, dump_manifest
from usassist.sources.recorded import PacketCheck, file_rate_hz

__all__ = ["Wanted", "copy_frames", "new_folder", "write_manifest"]

Wanted = Callable[[Fraction | None, int], bool]
"""Called for each coded frame in order, with its time in s and the CRC-32 of its bytes: True = copy it."""


@contextlib.contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A private folder to write into; at the end it takes the name `target`, or is gone.

    Raises
    ------
    SessionError
        If there is something of that name already, or it cannot be written.
    """
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise SessionError(f"{target} is there already; choose another --out")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise SessionError(explain(target, error)) from error
    try:
        yield folder
        for path in folder.rglob("*"):
            sync_file(path)
        sync_folder(folder)
        folder.rename(target)
        sync_folder(target.parent)
    except SessionError:  # it is an OSError too, and says what to do
        shutil.rmtree(folder, ignore_errors=True)
        raise
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise SessionError(
                f"the disk is full: {target} was not written; free some space, or name another"
            ) from error
        raise SessionError(explain(target, error)) from error
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def copy_frames(source: Path, target: Path, lines: Sequence[FrameLine], wanted: Wanted) -> list[str]:
    """Copy coded frames of a recording into a new file, bit for bit.

    Parameters
    ----------
    source, target : video files; the new one is not created where no frame is wanted
    lines : of the source, in order, with the checksums of its frames
    wanted : selects; frames with a wrong checksum are skipped

    Returns
    -------
    problems : what could not be copied, one line each

    Raises
    ------
    SessionError
        If the new file cannot be written.
    """
    problems: list[str] = []
    output: Any = None
    try:
        with open_video(source) as container:
            stream = container.streams.video[0]
            check = PacketCheck(lines, stream)
            for number, packet in enumerate(_packets(container, stream, problems)):
                if not check.passes(packet):
                    problems.append(f"{source.name}: the checksum of coded frame {number} is wrong; it is left out")
                elif wanted(None if packet.pts is None else packet.pts * packet.time_base, zlib.crc32(packet)):
                    if output is None:
                        output, copy = _new_video(target, stream)
                    packet.stream = copy
                    output.mux(packet)
    except SourceError as error:
        problems.append(str(error))
    except (OSError, av.error.FFmpegError) as error:
        raise SessionError(explain(target, error)) from error
    finally:
        if output is not None:
            output.close()
    return problems


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write ``session.toml`` with the checksums of all files in the folder.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    document = dataclasses.asdict(manifest) | {
        "schema": list(SESSION_SCHEMA),
        "repaired": list(manifest.repaired) or None,
        "missing": list(manifest.missing) or None,
        "files": {
            path.name: {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
            for path in sorted(folder.iterdir())
            if path.name != CORRECTIONS_FILE  # grows, and has checksums of its own
        },
    }
    write_atomic(folder / "session.toml", dump_manifest(document))


def _packets(container: Any, stream: Any, problems: list[str]) -> Iterator[Any]:
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except av.error.FFmpegError as error:
            problems.append(f"{Path(container.name).name} breaks off: {error.strerror}")
            return
        if packet.size:
            yield packet


def _new_video(path: Path, template: Any) -> tuple[Any, Any]:
    make_private(path)
    output = av.open(str(path), "w", format="nut" if path.suffix == ".nut" else "matroska")
    copy: Any = output.add_stream_from_template(template)
    if rate_hz := file_rate_hz(template):
        copy.codec_context.framerate = rate_hz
    return output, copy
