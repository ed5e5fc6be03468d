"""DICOMweb (PS3.18): search (QIDO-RS), store (STOW-RS) and retrieve (WADO-RS), as an
:class:`usassist.dicom.network.nodes.Archive`.

Searching is done by ``dicomweb-client``. Objects are stored and retrieved over its HTTP session here, because that
library decodes every data set and encodes it anew, and holds all of a study in memory: here the bytes of the file
leave, and the bytes that the server sends arrive.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from usassist.common.private_files import sync_folder, write_atomic
from usassist.dicom.network.nodes import Instance, Match, Outcome, Query, WebNode
from usassist.dicom.network.web_parts import (
    Item,
    StoreBody,
    UnknownAnswerError,
    outcomes_of,
    single_part,
    text_of,
)
from usassist.dicom.network.web_session import NothingThereError, open_session, told, web_library
from usassist.errors import ArchiveDownError, ArchiveError, ArchiveRefusedError

__all__ = ["WebArchive"]

_PORTION_BYTES, _PORTION_OBJECTS = 32 << 20, 50  # of one request
_MAX_PAGES = 10_000
_NOBODY = "2.25.0"  # no study has this UID, so asking for it moves no patient's data
_FIELDS = {
    "STUDY": ("ModalitiesInStudy", "StudyDescription", "NumberOfStudyRelatedInstances"),
    "SERIES": ("Modality", "SeriesDescription", "NumberOfSeriesRelatedInstances"),
    "IMAGE": ("Modality", "SOPClassUID"),
}
_DESCRIPTION = {"STUDY": "StudyDescription", "SERIES": "SeriesDescription", "IMAGE": ""}
_MODALITY = {"STUDY": "ModalitiesInStudy", "SERIES": "Modality", "IMAGE": "Modality"}
_COUNT = {"STUDY": "NumberOfStudyRelatedInstances", "SERIES": "NumberOfSeriesRelatedInstances", "IMAGE": ""}
_OWN_UID = {"STUDY": "StudyInstanceUID", "SERIES": "SeriesInstanceUID", "IMAGE": "SOPInstanceUID"}


class WebArchive:
    """An archive over DICOMweb, see :class:`usassist.dicom.network.nodes.Archive`.

    Parameters
    ----------
    node : its address, and how it is asked

    Raises
    ------
    UsageError
        If the extra ``dicom`` is not installed, or a password would leave unencrypted.
    ArchiveError
        If a file with a secret or with certificates cannot be used.
    """

    def __init__(self, node: WebNode) -> None:
        self._node = node
        self._url = node.url.rstrip("/")
        self._session = open_session(node)
        self._client = web_library().DICOMwebClient(
            url=self._url, session=self._session, permissive_uid=True, timeout=node.timeout_s
        )
        self._client.set_http_retry_params(retry=False)  # trying again is the caller's

    @property
    def name(self) -> str:
        """As the user calls it."""
        return self._node.name

    def close(self) -> None:
        """Close its connections."""
        self._session.close()

    def echo(self) -> str:
        """Ask whether it is there, by a search for a study that nobody has."""
        self._search("STUDY", {"StudyInstanceUID": _NOBODY}, limit=1)
        return f"{self.name} answers as DICOMweb at {self._url}"

    def find(self, query: Query) -> list[Match]:
        """What matches, in the order in which the archive says it."""
        filters = {
            "PatientID": query.patient_id,
            "AccessionNumber": query.accession_number,
            "StudyInstanceUID": query.study_instance_uid,
            "SeriesInstanceUID": query.series_instance_uid,
            "SOPInstanceUID": query.sop_instance_uid,
            "StudyDate": query.study_date,
            _MODALITY[query.level]: query.modality,
        }
        found = self._search(query.level, {keyword: value for keyword, value in filters.items() if value})
        return [_match(item, query.level) for item in found]

    def present(self, study_uid: str, series_uid: str) -> set[str] | None:
        """SOP instance UIDs of a series that the archive has."""
        filters = {"StudyInstanceUID": study_uid, "SeriesInstanceUID": series_uid}
        return {text_of(item, "SOPInstanceUID") for item in self._search("IMAGE", filters)} - {""}

    def send(self, instances: Sequence[Instance], begin: Callable[[Instance], None]) -> Iterator[Outcome]:
        """Store objects, several in a request; the outcome of each is what the response says of it."""
        whole = [instance for instance in instances if _is_whole(instance)]
        for instance in instances:
            if instance not in whole:
                yield Outcome(instance=instance, state="refused", detail="its file is gone, or was changed")
        for portion in _portions(whole):
            yield from self._store(portion, begin)

    def fetch(self, study_uid: str, folder: Path) -> int:
        """Write the objects of a study into a folder, one request for each.

        Raises
        ------
        ArchiveError
            If there is no such study, or not all of it came.
        """
        filters = {"StudyInstanceUID": study_uid}
        found = self._search("IMAGE", filters)
        if not found:
            raise ArchiveError(
                f"{self.name} has no study {study_uid}; look for it with: usassist pacs find {self.name}"
            )
        for item in found:
            series_uid, sop_uid = text_of(item, "SeriesInstanceUID"), text_of(item, "SOPInstanceUID")
            write_atomic(folder / f"{sop_uid}.dcm", self._retrieve(study_uid, series_uid, sop_uid), replace=False)
        sync_folder(folder)
        return len(found)

    def _search(self, level: str, filters: Mapping[str, str], *, limit: int | None = None) -> list[Item]:
        """All matches. Servers give them in pages, and one that ignores ``offset`` gives the same for ever."""
        search = {
            "STUDY": self._client.search_for_studies,
            "SERIES": self._client.search_for_series,
            "IMAGE": self._client.search_for_instances,
        }[level]
        path = {} if level == "STUDY" else _path_of(level, filters)
        rest = {key: value for key, value in filters.items() if key not in path.values()}
        where = {name: filters[keyword] for name, keyword in path.items()}
        found: list[Item] = []
        seen: set[str] = set()
        for _ in range(_MAX_PAGES):
            try:
                with told(self._node):
                    page = search(
                        **where,
                        search_filters=rest,
                        fields=list(_FIELDS[level]),
                        limit=limit,
                        offset=len(found) or None,
                    )
            except NothingThereError:
                if not where:
                    raise
                self.echo()  # so the address is right, and some servers say 404 of a study that they do not have
                page = []
            new = [item for item in self._checked(page) if (uid := text_of(item, _OWN_UID[level])) and uid not in seen]
            seen |= {text_of(item, _OWN_UID[level]) for item in new}
            found += new
            if not new or limit is not None:
                break
        return found

    def _checked(self, page: Any) -> list[Item]:
        if isinstance(page, list) and all(isinstance(item, dict) for item in page):
            return page
        raise ArchiveRefusedError(f"{self.name} answers the search with something else than DICOM JSON; check its url")

    def _store(self, portion: Sequence[Instance], begin: Callable[[Instance], None]) -> Iterator[Outcome]:
        body = StoreBody(portion, begin)
        headers = {"Content-Type": body.content_type, "Accept": "application/dicom+json"}
        with told(self._node):
            response = self._session.post(
                f"{self._url}/studies",
                data=body,
                headers=headers,
                timeout=self._node.timeout_s,
                allow_redirects=False,
            )
            if response.status_code not in (200, 202, 400, 409, 413):
                response.raise_for_status()
        if response.status_code == 413:
            if len(portion) > 1:  # the object alone may pass
                for instance in portion:
                    yield from self._store([instance], begin)
                return
            yield Outcome(instance=portion[0], state="refused", detail="larger than the server takes (HTTP 413)")
            return
        try:
            outcomes = outcomes_of(portion, response.status_code, response.content)
        except UnknownAnswerError:
            outcomes = {}
        yield from outcomes.values()
        unsaid = [instance for instance in portion if instance.sop_instance_uid not in outcomes]
        if unsaid:
            yield from self._ask_for(unsaid, response.status_code, begin if len(portion) > 1 else None)

    def _ask_for(
        self, instances: Iterable[Instance], status: int, begin: Callable[[Instance], None] | None
    ) -> Iterator[Outcome]:
        """Of objects that the response does not name: what a search says.

        A refusal of a whole request may be for one object, so each goes alone then, unless it has: `begin` is None.
        """
        for (study, series), group in itertools.groupby(
            instances, key=lambda item: (item.study_instance_uid, item.series_instance_uid)
        ):
            held = self.present(study, series) or set()
            for instance in group:
                if instance.sop_instance_uid in held:
                    yield Outcome(instance=instance, state="stored", detail="confirmed by a search")
                elif status in (400, 409) and begin is not None:
                    yield from self._store([instance], begin)
                elif status in (400, 409):
                    yield Outcome(instance=instance, state="refused", detail=f"HTTP {status}, without a reason")
                else:
                    yield Outcome(instance=instance, state="later", detail=f"HTTP {status}, and a search lacks it")

    def _retrieve(self, study_uid: str, series_uid: str, sop_uid: str) -> bytes:
        """The file of one object, as the server has it."""
        url = f"{self._url}/studies/{study_uid}/series/{series_uid}/instances/{sop_uid}"
        accept = 'multipart/related; type="application/dicom"'
        with told(self._node):
            for wanted in (f"{accept}; transfer-syntax=*", accept):
                with contextlib.closing(
                    self._session.get(
                        url, headers={"Accept": wanted}, timeout=self._node.timeout_s, allow_redirects=False
                    )
                ) as response:
                    if response.status_code in (400, 406) and wanted != accept:
                        continue  # a server that does not know this parameter
                    response.raise_for_status()
                    data = single_part(response.headers.get("Content-Type", ""), response.content)
                    break
        if data is None:
            raise ArchiveDownError(f"{self.name} sent object {sop_uid} cut off, or as something else; try again")
        return data


def _is_whole(instance: Instance) -> bool:
    """True when the file still has the length that the request will promise."""
    try:
        return instance.path.stat().st_size == instance.size_bytes
    except OSError:
        return False


def _portions(instances: Sequence[Instance]) -> Iterator[list[Instance]]:
    """Objects for one request each, in their order; one that is larger than a portion goes alone."""
    portion: list[Instance] = []
    for instance in instances:
        size = sum(item.size_bytes for item in portion) + instance.size_bytes
        if portion and (size > _PORTION_BYTES or len(portion) >= _PORTION_OBJECTS):
            yield portion
            portion = []
        portion.append(instance)
    if portion:
        yield portion


def _path_of(level: str, filters: Mapping[str, str]) -> dict[str, str]:
    """UIDs that stand in the path of a search for series or objects, by the library's name."""
    path = {"study_instance_uid": "StudyInstanceUID"}
    if level == "IMAGE" and "StudyInstanceUID" in filters:
        path["series_instance_uid"] = "SeriesInstanceUID"
    return {name: keyword for name, keyword in path.items() if keyword in filters}


def _match(item: Item, level: str) -> Match:
    count = text_of(item, _COUNT[level]) if _COUNT[level] else ""
    return Match(
        patient_name=text_of(item, "PatientName"),
        patient_id=text_of(item, "PatientID"),
        study_date=text_of(item, "StudyDate"),
        study_time=text_of(item, "StudyTime"),
        accession_number=text_of(item, "AccessionNumber"),
        modality=text_of(item, _MODALITY[level]),
        description=text_of(item, _DESCRIPTION[level]) if _DESCRIPTION[level] else "",
        study_instance_uid=text_of(item, "StudyInstanceUID"),
        series_instance_uid=text_of(item, "SeriesInstanceUID"),
        sop_class_uid=text_of(item, "SOPClassUID"),
        sop_instance_uid=text_of(item, "SOPInstanceUID"),
        objects=int(count) if count.isdigit() else None,
    )
