"""Which images of ours a segmentation may refer to: their SOP instance UIDs, and the frames that they hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from usassist.dicom.study import StudyContext
from usassist.errors import SessionError, UsageError
from usassist.session.export.sweep_content import sweep_content
from usassist.session.opening import RecordedSession

__all__ = ["SourceImage", "SourceImages"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceImage:
    """An image object of a session.

    Attributes
    ----------
    frame_ids : of its frames, in order
    is_key : True = the key frame of nodules, of which each segmentation has one nodule; False = a cine
    """

    frame_ids: Sequence[int]
    is_key: bool


class SourceImages:
    """The images that ``usassist export dicom`` writes of a session. Their UIDs depend on the study that they are in.

    Parameters
    ----------
    session : that was exported
    """

    def __init__(self, session: RecordedSession) -> None:
        self._session = session
        self._known: dict[str, dict[str, SourceImage]] = {}

    def of_study(self, study_instance_uid: str) -> Mapping[str, SourceImage]:
        """SOP instance UID → image, in a study.

        Raises
        ------
        SessionError
            If the UID is none, or the session is damaged.
        """
        if study_instance_uid not in self._known:
            try:
                study = StudyContext(study_instance_uid=study_instance_uid)
            except UsageError as error:
                raise SessionError(f"the study of a segmentation has no valid UID: {error}") from None
            content = sweep_content(self._session, study)
            frame_ids = [frame.frame_id for frame in content.frames]
            keys = {content.uid("key", number): SourceImage(frame_ids=(number,), is_key=True) for number in frame_ids}
            cines = {
                content.cine_uid(part): SourceImage(
                    frame_ids=tuple(frame_ids[index] for index in part.frame_indices), is_key=False
                )
                for part in content.parts
            }
            self._known[study_instance_uid] = keys | cines
        return self._known[study_instance_uid]
