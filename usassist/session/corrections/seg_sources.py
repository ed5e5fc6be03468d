"""Which images of ours a segmentation may refer to: their SOP instance UIDs, and the frames that they hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from usassist.session.opening import RecordedSession

__all__ = ["source_frames"]


def source_frames(session: RecordedSession, study_instance_uid: str) -> Mapping[str, Sequence[int]]:
    """SOP instance UID → the frame ids of its frames, in order, of the objects that `usassist export dicom` writes.

    Parameters
    ----------
    session : that was exported
    study_instance_uid : that the objects are in; the UIDs depend on it

    Raises
    ------
    SessionError
        If the session is damaged.
    """
    raise NotImplementedError
