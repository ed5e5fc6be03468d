"""C-STORE of files to an archive over DIMSE (PS3.4 annex B, PS3.7 section 9.1.1)."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pydicom
from pydicom import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from usassist.dicom.network.association import NothingOfferedError, associated, load_pynetdicom, lost
from usassist.dicom.network.nodes import Instance, Node, Outcome
from usassist.dicom.network.status import store_outcome
from usassist.sources.dicom.header import PYDICOM_ERRORS

if TYPE_CHECKING:
    from pynetdicom.association import Association
    from pynetdicom.presentation import PresentationContext

__all__ = ["send_instances"]

_MAX_CONTEXTS = 128  # of an association, PS3.8 section 9.3.2.2
_SLOWEST_BYTES_PER_S = 250_000  # a slower line is taken for one that hangs
# What can be turned into uncompressed little endian without loss, where the archive takes nothing else.
_CONVERTIBLE = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, RLELossless)
_PLAIN = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)


def send_instances(node: Node, instances: Sequence[Instance], begin: Callable[[Instance], None]) -> Iterator[Outcome]:
    """Send objects; see :meth:`usassist.dicom.network.nodes.Archive.send`.

    One association carries as many objects as its 128 presentation contexts allow: every pair of SOP class and
    transfer syntax is proposed as the files have it, and, where that can be converted without loss, uncompressed too.
    """
    for together in _grouped(instances):
        yield from _send_together(node, together, begin)


def _kinds(instance: Instance) -> list[tuple[str, tuple[str, ...]]]:
    """The presentation contexts that would carry an object: abstract syntax, and transfer syntaxes."""
    wanted: list[tuple[str, tuple[str, ...]]] = [(instance.sop_class_uid, (instance.transfer_syntax_uid,))]
    if instance.transfer_syntax_uid in _CONVERTIBLE:
        others = tuple(str(syntax) for syntax in _PLAIN if syntax != instance.transfer_syntax_uid)
        wanted.append((instance.sop_class_uid, others))
    return wanted


def _grouped(instances: Sequence[Instance]) -> Iterator[list[Instance]]:
    """In order, as many at a time as one association can carry."""
    together: list[Instance] = []
    kinds: set[tuple[str, tuple[str, ...]]] = set()
    for instance in instances:
        more = kinds.union(_kinds(instance))
        if len(more) > _MAX_CONTEXTS:
            yield together
            together, more = [], set(_kinds(instance))
        together.append(instance)
        kinds = more
    if together:
        yield together


def _send_together(node: Node, instances: list[Instance], begin: Callable[[Instance], None]) -> Iterator[Outcome]:
    load_pynetdicom()
    from pynetdicom.presentation import build_context

    kinds = dict.fromkeys(kind for instance in instances for kind in _kinds(instance))
    contexts = [build_context(abstract, list(syntaxes)) for abstract, syntaxes in kinds]
    try:
        with associated(node, contexts) as association:
            accepted = association.accepted_contexts
            for number, instance in enumerate(instances):
                yield _send_one(node, association, accepted, instance, number % 65535 + 1, begin)
    except NothingOfferedError:
        for instance in instances:
            yield Outcome(instance=instance, state="refused", detail=_not_offered([], instance))


def _send_one(
    node: Node,
    association: Association,
    accepted: list[PresentationContext],
    instance: Instance,
    message_id: int,
    begin: Callable[[Instance], None],
) -> Outcome:
    syntaxes = [str(item.transfer_syntax[0]) for item in accepted if item.abstract_syntax == instance.sop_class_uid]
    as_it_is = instance.transfer_syntax_uid in syntaxes
    if not as_it_is and not (syntaxes and instance.transfer_syntax_uid in _CONVERTIBLE):
        return Outcome(instance=instance, state="refused", detail=_not_offered(syntaxes, instance))
    try:
        what: Any = instance.path if as_it_is else _decoded(instance)
    except (*PYDICOM_ERRORS, NotImplementedError):
        return Outcome(
            instance=instance,
            state="refused",
            detail=f"its transfer syntax {_name(instance.transfer_syntax_uid)} is not taken, and it cannot be decoded",
        )
    association.dimse_timeout = node.timeout_s + instance.size_bytes / _SLOWEST_BYTES_PER_S
    begin(instance)
    if not association.is_established:
        raise lost(node, association, "a C-STORE")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they quote values
            status = association.send_c_store(what, msg_id=message_id)
    except RuntimeError as error:  # the association ended between the line above and the call
        raise lost(node, association, "a C-STORE") from error
    if "Status" not in status:
        raise lost(node, association, "a C-STORE")
    return store_outcome(instance, int(status.Status))


def _decoded(instance: Instance) -> Dataset:
    """The object without compression; pynetdicom encodes it as the context says. Pixels and UIDs stay what they are."""
    dataset = pydicom.dcmread(instance.path)
    if instance.transfer_syntax_uid == RLELossless:
        dataset.decompress(generate_instance_uid=False)
    return dataset


def _not_offered(syntaxes: list[str], instance: Instance) -> str:
    if not syntaxes:
        return f"the archive does not take objects of this kind ({_name(instance.sop_class_uid)})"
    return (
        f"the archive does not take its transfer syntax ({_name(instance.transfer_syntax_uid)}), "
        f"which cannot be changed without loss"
    )


def _name(uid: str) -> str:
    return pydicom.uid.UID(uid).name
