"""Checks the corrections beside a session, for ``usassist session verify``."""

from __future__ import annotations

from usassist.errors import SchemaVersionError, SessionError
from usassist.session.corrections.record import CORRECTIONS_FILE, read_imports
from usassist.session.opening import RecordedSession

__all__ = ["corrections_problems"]


def corrections_problems(session: RecordedSession) -> list[str]:
    """What is wrong with them, one line each; none where there are none.

    Every line, the chain of checksums, and that each outline gives its pixels back and lies on a frame of the session.
    """
    try:
        lines = read_imports(session.folder)
    except (SessionError, SchemaVersionError) as error:
        return [str(error)]
    sizes = {line.frame_id: _hw(line.roi_xyxy_px) for line in session.frames}
    partial = session.manifest.cut_from is not None or bool(session.manifest.repaired)
    problems = []
    for number, line in enumerate(lines, 1):
        if line.session_id != session.manifest.session_id:
            problems.append(f"{CORRECTIONS_FILE}: line {number} belongs to another session")
        for frame in line.frames:
            if frame.frame_id not in sizes:
                if not partial:
                    problems.append(f"{CORRECTIONS_FILE} corrects frame {frame.frame_id}, which the session has not")
                continue
            if frame.image_hw_px != sizes[frame.frame_id]:
                problems.append(f"{CORRECTIONS_FILE}: the correction of frame {frame.frame_id} has another size")
            try:
                frame.regions()
            except SessionError as error:
                problems.append(str(error))
    return problems


def _hw(roi_xyxy_px: tuple[int, int, int, int]) -> tuple[int, int]:
    x1, y1, x2, y2 = roi_xyxy_px
    return y2 - y1, x2 - x1
