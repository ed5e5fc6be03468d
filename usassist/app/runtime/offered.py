"""What may be chosen while a live session runs: engines, precisions, operating points, sources."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

from usassist.app.runtime.open_stream import StreamOptions
from usassist.app.runtime.recording_facts import source_kind
from usassist.bus import ControlAction
from usassist.calibrate import DEFAULT_POINT, load_score_calibration
from usassist.engine import EngineSpec, find_engine, list_engines
from usassist.errors import UsageError
from usassist.modalities import Kind, list_modalities
from usassist.sinks.panel import Choices
from usassist.sources.inputs.devices import find_devices

__all__ = ["Offered", "name_sources"]

_V4L2 = "v4l2:"


class Offered:
    """What may be chosen, and the options of a stream that come of it.

    Sources are chosen by names without path or password, and only those that were offered can be chosen: a viewer
    cannot have any other file or address opened.

    Parameters
    ----------
    stream : as the session was started
    sources : addresses of further sources, beside the one of `stream` and the frame grabbers of this machine
    """

    def __init__(self, stream: StreamOptions, sources: Iterable[str] = ()) -> None:
        self._started = stream
        self._folder = Path(stream.engines) if stream.engines else None
        devices = [device.address for device in find_devices(skip=stream.source) if not device.problem]
        self._addresses = name_sources([stream.source, *sources, *devices])

    def choices(self, stream: StreamOptions) -> Choices:
        """For the page, with what of it is chosen in a stream."""
        return Choices(
            engines=self.engines(),
            precisions=self.precisions(),
            sources=tuple(self._addresses),
            precision=stream.precision,
            source=next(name for name, address in self._addresses.items() if address == stream.source),
        )

    def engines(self) -> tuple[str, ...]:
        """``name@version`` of every engine that can be streamed here."""
        return tuple(map(_full_name, self._streamed()))

    def precisions(self) -> tuple[str, ...]:
        """``auto``, and every precision of any of these engines."""
        found = dict.fromkeys(item for spec in self._streamed() for item in spec.precisions)
        return ("auto", *found)

    def _streamed(self) -> list[EngineSpec]:
        codes = {row.code for row in list_modalities().values() if row.is_available and row.kind is Kind.STREAM}
        return [spec for spec in list_engines(self._folder) if spec.modality in codes]

    def change(self, stream: StreamOptions, action: ControlAction, value: str) -> StreamOptions:
        """The options of a stream with something else chosen; the same object where it is so already.

        Parameters
        ----------
        stream : as it runs
        action : any but ``record``
        value : of the request

        Raises
        ------
        UsAssistError
            If there is no such thing, or it does not go together with the rest.
        """
        if action is ControlAction.SOURCE:
            return self._with_source(stream, value)
        spec = find_engine(stream.engine, self._folder)
        if action is ControlAction.ENGINE:
            wanted = find_engine(value, self._folder)
            if wanted.engine_id == spec.engine_id:
                return stream
            if _full_name(wanted) not in self.engines():
                raise UsageError(f"engine {_full_name(wanted)} does not stream; it was not offered")
            precision = stream.precision if stream.precision in wanted.precisions else "auto"
            point = stream.point if stream.point in self._points(wanted, stream) else "auto"
            return dataclasses.replace(stream, engine=_full_name(wanted), precision=precision, point=point)
        if action is ControlAction.PRECISION:
            if value not in ("auto", *spec.precisions):
                known = ", ".join(spec.precisions)
                raise UsageError(f"engine {_full_name(spec)} has no precision {value}; it has {known}")
            return stream if value == stream.precision else dataclasses.replace(stream, precision=value)
        points = self._points(spec, stream)
        if value not in points:
            known = ", ".join(points) or "none, because its scores are not calibrated"
            raise UsageError(f"engine {_full_name(spec)} has no operating point {value}; it has {known}")
        running = points[0] if stream.point == "auto" else stream.point
        return stream if value == running else dataclasses.replace(stream, point=value)

    def _with_source(self, stream: StreamOptions, name: str) -> StreamOptions:
        address = self._addresses.get(name)
        if address is None:
            raise UsageError(f"no source {name} was offered; choose one of {', '.join(self._addresses)}")
        if address == stream.source:
            return stream
        if address.startswith(_V4L2):
            problem = next(
                (device.problem for device in find_devices() if device.address == address), "it is not there any more"
            )
            if problem:
                raise UsageError(f"{name} cannot be used: {problem}")
        # Scan area and scale belong to the source for which they were given.
        started = self._started
        is_first = address == started.source
        shows_all = started.crop == "none"
        return dataclasses.replace(
            stream,
            source=address,
            crop=started.crop if is_first or shows_all else "auto",
            calibration=started.calibration if is_first else None,
            scale=started.scale,
            deinterlace=started.deinterlace if is_first else False,
        )

    def _points(self, spec: EngineSpec, stream: StreamOptions) -> tuple[str, ...]:
        """Names of the operating points of an engine, the usual one first."""
        scores = load_score_calibration(spec.engine_id, Path(stream.score_folder) if stream.score_folder else None)
        if scores is None:
            return ()
        return (DEFAULT_POINT, *(name for name in scores.points if name != DEFAULT_POINT))


def name_sources(addresses: Iterable[str]) -> dict[str, str]:
    """A name for every address, without path, file name or password: name → address, in order, each address once."""
    found: dict[str, str] = {}
    for address in dict.fromkeys(addresses):
        base = name = _name_of(address)
        number = 1
        while name in found:
            number += 1
            name = f"{base} ({number})"
        found[name] = address
    return found


def _name_of(address: str) -> str:
    if address.startswith(_V4L2):
        return address
    if "://" in address:
        parts = urlsplit(address)
        port = f":{parts.port}" if parts.port else ""
        return f"{parts.scheme}://{parts.hostname or ''}{port}"
    return source_kind(address)


def _full_name(spec: EngineSpec) -> str:
    return spec.engine_id.partition("+")[0]
