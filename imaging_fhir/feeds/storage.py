"""C-STORE (PS3.4 B.2): an instance into the one ingest, and what its sender hears of it.

The data set is kept as it was sent, behind file meta information that is made here. The answer is
given after the commit: whatever is acknowledged is durable.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass

from imaging_fhir.dicomweb.part10 import file_head
from imaging_fhir.dicomweb.store_response import HELD, PROCESSING_FAILURE, failure_reason
from imaging_fhir.errors import ImagingError
from imaging_fhir.feeds.command_set import (
    INVALID_SOP_INSTANCE,
    SOP_CLASS_NOT_SUPPORTED,
    SUCCESS,
    Command,
    Result,
)
from imaging_fhir.feeds.negotiation import is_storage
from imaging_fhir.images.dicom_values import is_uid
from imaging_fhir.images.sop_identity import SopIdentity, sop_identity
from imaging_fhir.services.ingest import Ingest, Outcome
from imaging_fhir.settings import Source

DEFLATED = "1.2.840.10008.1.2.1.99"
DOES_NOT_MATCH_SOP_CLASS = 0xA900
CANNOT_UNDERSTAND = 0xC000
DOES_NOT_MATCH_WARNING = 0xB007
ENOUGH_TO_IDENTIFY = 4096  # bytes of a data set, SOPInstanceUID being one of its first elements
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    ae_title: str
    source: Source


class OtherInstance(ImagingError):
    """The data set is of another SOP Instance or class than the command says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    ingest: Ingest

    def store(
        self, command: Command, transfer_syntax: str, data_set: Iterator[bytes], sender: Sender
    ) -> Result:
        """Take one instance in; what raises while the data set arrives ends the association."""
        if not is_storage(command.sop_class_uid):
            return Result(status=SOP_CLASS_NOT_SUPPORTED, comment="It is no storage SOP class.")
        if not is_uid(command.sop_instance_uid):
            return Result(status=INVALID_SOP_INSTANCE, comment="It is no UID.")
        if not command.has_data_set:
            return Result(status=CANNOT_UNDERSTAND, comment="There is no data set.")
        head = file_head(
            sop_class_uid=command.sop_class_uid,
            sop_instance_uid=command.sop_instance_uid,
            transfer_syntax_uid=transfer_syntax,
            source_ae_title=sender.ae_title,
        )
        return result_of(
            command,
            self.ingest.ingest(
                checked(head, data_set, command, is_deflated=transfer_syntax == DEFLATED),
                source=sender.source,
            ),
        )


def checked(
    head: bytes, data_set: Iterator[bytes], command: Command, *, is_deflated: bool
) -> Iterator[bytes]:
    """The file; raise OtherInstance where it begins as another instance than the command says."""
    beginning = b""
    for fragment in data_set:
        beginning += fragment
        if len(beginning) >= ENOUGH_TO_IDENTIFY:
            break
    require_same(command, sop_identity(beginning, is_deflated=is_deflated))
    yield head
    yield beginning
    for fragment in data_set:  # no `yield from`: what is left when this ends early is still read
        yield fragment


def require_same(command: Command, found: SopIdentity) -> None:
    if found.sop_class_uid not in (None, command.sop_class_uid):
        raise OtherInstance("The data set is of another SOP class than the command says.")
    if found.sop_instance_uid not in (None, command.sop_instance_uid):
        raise OtherInstance("The data set is another instance than the command says.")


def result_of(command: Command, outcome: Outcome) -> Result:
    if outcome.filed is None:
        return refusal(outcome.error or ImagingError("Nothing was kept."))
    kept = outcome.instance
    if kept is None or kept.sop_instance_uid != command.sop_instance_uid:
        return Result(status=DOES_NOT_MATCH_WARNING, comment="Kept under another SOP Instance UID.")
    if outcome.status == 202:
        return Result(status=HELD, comment=outcome.message)
    return Result(status=SUCCESS)


def refusal(error: ImagingError) -> Result:
    if isinstance(error, OtherInstance):
        return Result(status=DOES_NOT_MATCH_SOP_CLASS, comment=str(error))
    status = failure_reason(error)
    if status == PROCESSING_FAILURE:
        logger.error("C-STORE failed: %s", error)
    return Result(status=status, comment=str(error))
