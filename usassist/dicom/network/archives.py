"""Open an archive by its node: the one place that knows which kinds there are."""

from __future__ import annotations

from usassist.dicom.network.dimse import DimseArchive
from usassist.dicom.network.nodes import Archive, Node, WebNode

__all__ = ["open_archive"]


def open_archive(node: Node | WebNode) -> Archive:
    """The archive of a node. Nothing is connected before it is asked something.

    Raises
    ------
    UsAssistError
        If the library that its protocol needs is not installed.
    """
    if isinstance(node, WebNode):
        from usassist.dicom.network.web import WebArchive

        return WebArchive(node)
    return DimseArchive(node)
