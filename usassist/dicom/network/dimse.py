"""An archive that speaks DIMSE."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from usassist.dicom.network.association import associated, load_pynetdicom, lost
from usassist.dicom.network.fetch import fetch_study
from usassist.dicom.network.find import find_matches, present_in_series
from usassist.dicom.network.nodes import Instance, Match, Node, Outcome, Query
from usassist.dicom.network.send import send_instances
from usassist.errors import ArchiveRefusedError

__all__ = ["DimseArchive"]

_VERIFICATION = "1.2.840.10008.1.1"


class DimseArchive:
    """An :class:`~usassist.dicom.network.nodes.Archive` over DIMSE.

    Parameters
    ----------
    node : its address
    """

    def __init__(self, node: Node) -> None:
        self.node = node

    @property
    def name(self) -> str:
        """As the user calls it."""
        return self.node.name

    def echo(self) -> str:
        """C-ECHO; see :class:`~usassist.dicom.network.nodes.Archive`."""
        load_pynetdicom()
        from pynetdicom.presentation import build_context

        with associated(self.node, [build_context(_VERIFICATION)]) as association:
            status = association.send_c_echo()
            if "Status" not in status:
                raise lost(self.node, association, "a C-ECHO")
            if status.Status != 0:
                raise ArchiveRefusedError(
                    f"{self.name} answers C-ECHO with status {status.Status:04X}; ask who runs it"
                )
            said = association.acceptor.implementation_version_name
        how = "DICOM over TLS" if self.node.tls_ca else "DICOM"
        return f"{self.node.ae_title} at {self.node.host}:{self.node.port} answers, {how}{f', {said}' if said else ''}"

    def find(self, query: Query) -> list[Match]:
        """C-FIND; see :class:`~usassist.dicom.network.nodes.Archive`."""
        return find_matches(self.node, query)

    def present(self, study_uid: str, series_uid: str) -> set[str] | None:
        """C-FIND at IMAGE level; see :class:`~usassist.dicom.network.nodes.Archive`."""
        return present_in_series(self.node, study_uid, series_uid)

    def send(self, instances: Sequence[Instance], begin: Callable[[Instance], None]) -> Iterator[Outcome]:
        """C-STORE; see :class:`~usassist.dicom.network.nodes.Archive`."""
        return send_instances(self.node, instances, begin)

    def fetch(self, study_uid: str, folder: Path) -> int:
        """C-GET, or C-MOVE; see :class:`~usassist.dicom.network.nodes.Archive`."""
        return fetch_study(self.node, study_uid, folder)
