"""Archives by name: what the settings say of them, and what each of them can be asked.

A node is an address with its rules. :class:`Node` speaks DIMSE (PS3.7, PS3.8), :class:`WebNode` DICOMweb (PS3.18).
Both are opened by :func:`usassist.dicom.network.archives.open_archive`, which gives an :class:`Archive`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from usassist.config import PacsConfig
from usassist.errors import UsageError

__all__ = [
    "Archive",
    "Instance",
    "Level",
    "Match",
    "Node",
    "Outcome",
    "Query",
    "WebNode",
    "node_named",
]

Level = Literal["STUDY", "SERIES", "IMAGE"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """An archive that speaks DIMSE.

    Attributes
    ----------
    name : as the user calls it: of the table, or ``AE@HOST:PORT``
    host, port : where it listens
    ae_title : its AE title
    own_ae_title : ours
    tls_ca : file of certificates (PEM) that its own must be signed by; ``system`` = those of this machine; empty = no
        TLS
    tls_cert, tls_key : our certificate and its key (PEM), where the archive asks for one; empty = none
    tls_name : name in its certificate, where that is not `host`
    timeout_s : for the connection, for each answer, and for silence in the middle
    move_port : port where we receive what the archive sends for a C-MOVE; 0 = fetch with C-GET
    """

    name: str
    host: str
    port: int
    ae_title: str
    own_ae_title: str = "USASSIST"
    tls_ca: str = ""
    tls_cert: str = ""
    tls_key: str = ""
    tls_name: str = ""
    timeout_s: float = 30.0
    move_port: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class WebNode:
    """An archive that speaks DICOMweb.

    Attributes
    ----------
    name : as the user calls it: of the table, or the address itself
    url : root of the service, for example ``https://pacs.example/dicom-web``
    user : for HTTP basic authentication; empty = none
    password_file : holds the password of `user`
    token_file : holds a bearer token, instead of both; empty = none
    ca : file of certificates (PEM) that the server's must be signed by; empty = those of this machine
    timeout_s : for the connection, and for silence in the middle
    """

    name: str
    url: str
    user: str = ""
    password_file: str = ""
    token_file: str = ""
    ca: str = ""
    timeout_s: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Query:
    """What to look for. An empty value is not asked for. It has no ``repr``, so that no identity gets into a log.

    Attributes
    ----------
    level : what a match is: a study, a series of it, or an object (IMAGE)
    patient_id, accession_number, modality : exact values; ``*`` and ``?`` as in PS3.4 C.2.2.2.4 where the archive
        allows them
    study_instance_uid, series_instance_uid, sop_instance_uid : exact
    study_date : ``YYYYMMDD``, or a range ``YYYYMMDD-YYYYMMDD``, where one end may be left out
    """

    level: Level = "STUDY"
    patient_id: str = ""
    accession_number: str = ""
    study_instance_uid: str = ""
    series_instance_uid: str = ""
    sop_instance_uid: str = ""
    study_date: str = ""
    modality: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Match:
    """One answer to a query; empty = the archive did not say. It has no ``repr``, so that no identity gets into a log.

    Attributes
    ----------
    modality : of a series, or of a study all of them, separated by commas
    description : of the study, or of the series
    objects : how many it has, as the archive says; None = it does not say
    """

    patient_name: str = ""
    patient_id: str = ""
    study_date: str = ""
    study_time: str = ""
    accession_number: str = ""
    modality: str = ""
    description: str = ""
    study_instance_uid: str = ""
    series_instance_uid: str = ""
    sop_instance_uid: str = ""
    sop_class_uid: str = ""
    objects: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """A DICOM file that can be sent.

    Attributes
    ----------
    path : of the file, with the file meta information of PS3.10
    size_bytes : of the file
    sop_class_uid, sop_instance_uid, study_instance_uid, series_instance_uid, transfer_syntax_uid : as it says itself
    """

    path: Path
    size_bytes: int
    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    transfer_syntax_uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one object.

    Attributes
    ----------
    instance : that was sent
    state : ``stored``: the archive confirmed it; ``refused``: it will never take it; ``later``: it cannot take it now
    detail : the archive's reason in one line, with its status in hexadecimal; of ``stored`` empty, or a warning
    """

    instance: Instance
    state: Literal["stored", "refused", "later"]
    detail: str = ""


class Archive(Protocol):
    """What every archive can be asked, over DIMSE or DICOMweb.

    Every method raises

    ArchiveDownError
        If the archive cannot be reached, does not answer in time, or ends the connection. It may be asked again.
    ArchiveRefusedError
        If it answered, and will answer the same again: another AE title, a wrong certificate, a wrong password.
    """

    @property
    def name(self) -> str:
        """As the user calls it."""

    def echo(self) -> str:
        """Ask whether it is there. Returns one line: who answered, and how."""

    def find(self, query: Query) -> list[Match]:
        """What matches, in the order in which the archive says it; an empty list means that it said: nothing."""

    def present(self, study_uid: str, series_uid: str) -> set[str] | None:
        """SOP instance UIDs of a series that the archive has; None = this archive cannot be asked."""

    def send(self, instances: Sequence[Instance], begin: Callable[[Instance], None]) -> Iterator[Outcome]:
        """Send objects over as few connections as possible; the outcome of each, in any order.

        Parameters
        ----------
        instances : to be sent
        begin : called right before the first byte of an object leaves. Between this and its outcome an object is in
            flight: whether the archive has it is then known to the archive alone
        """

    def fetch(self, study_uid: str, folder: Path) -> int:
        """Write the objects of a study into a folder that exists and is empty, ``SOP_INSTANCE_UID.dcm`` each.

        The caller keeps the folder only when this returns, and removes it otherwise.

        Returns
        -------
        count : of objects; at least 1

        Raises
        ------
        ArchiveError
            If there is no such study, or if the archive could not send all of it.
        """


_ADDRESS = re.compile(
    r"(?P<ae>(?=.*[!-~].*@)[ -?A-\[\]-~]{1,16})@(?P<host>\[[0-9A-Fa-f:.]+\]|[^@:\s]+):(?P<port>\d{1,5})"
)


def node_named(text: str, pacs: Mapping[str, PacsConfig]) -> Node | WebNode:
    """The archive that a user means.

    Parameters
    ----------
    text : name of a table ``[pacs.NAME]``, or ``AE@HOST:PORT``, or the root of a DICOMweb service, ``https://…``
    pacs : the tables of the settings file, by name

    Raises
    ------
    UsageError
        If it is none of these.
    """
    if text in pacs:
        return _of_table(text, pacs[text])
    if re.match(r"https?://", text):
        return WebNode(name=text, url=text)
    match = _ADDRESS.fullmatch(text)
    if match is not None and 0 < int(match["port"]) < 65536:
        host = match["host"].strip("[]")
        return Node(name=text, host=host, port=int(match["port"]), ae_title=match["ae"].strip())
    known = f"known: {', '.join(pacs)}" if pacs else "the settings file has no table [pacs.NAME]"
    raise UsageError(f"there is no archive {text}; {known}; or write AE@HOST:PORT or https://HOST/dicom-web")


def _of_table(name: str, table: PacsConfig) -> Node | WebNode:
    if table.url:
        return WebNode(
            name=name,
            url=table.url,
            user=table.user,
            password_file=table.password_file,
            token_file=table.token_file,
            ca=table.ca,
            timeout_s=table.timeout_s,
        )
    return Node(
        name=name,
        host=table.host,
        port=table.port,
        ae_title=table.ae_title,
        own_ae_title=table.own_ae_title,
        tls_ca=table.tls_ca,
        tls_cert=table.tls_cert,
        tls_key=table.tls_key,
        tls_name=table.tls_name,
        timeout_s=table.timeout_s,
        move_port=table.move_port,
    )
