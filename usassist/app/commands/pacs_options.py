"""What the commands ``usassist pacs …`` have in common: the archive that is meant, and dates."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

from usassist.config import in_force
from usassist.errors import UsageError

if TYPE_CHECKING:
    from usassist.dicom.network.nodes import Archive, Node

__all__ = ["ArchiveArgument", "archive_of", "check_date", "dimse_node"]

ArchiveArgument = Annotated[
    str,
    typer.Argument(metavar="ARCHIVE", help="NAME of a table pacs.NAME, AE@HOST:PORT, or https://HOST/dicom-web."),
]


def archive_of(name: str) -> Archive:
    """The archive that a user names."""
    from usassist.dicom.network.archives import open_archive
    from usassist.dicom.network.nodes import node_named

    return open_archive(node_named(name, in_force().pacs))


def dimse_node(name: str, what: str) -> Node:
    """The archive that a user names, where only DIMSE has the service.

    Raises
    ------
    UsageError
        If it is one that speaks DICOMweb.
    """
    from usassist.dicom.network.nodes import Node, node_named

    node = node_named(name, in_force().pacs)
    if not isinstance(node, Node):
        raise UsageError(f"{name} is a DICOMweb service, and {what} is asked for over DIMSE; name one with a host")
    return node


def check_date(text: str) -> str:
    """A date or a range as DICOM writes it (PS3.5 section 6.2, PS3.4 section C.2.2.2.5).

    Raises
    ------
    UsageError
        If it is neither.
    """
    day = r"\d{4}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])"
    if text and not re.fullmatch(rf"{day}|{day}-|-{day}|{day}-{day}", text):
        raise UsageError(f"{text} is no date; write YYYYMMDD, or a range YYYYMMDD-YYYYMMDD")
    return text
