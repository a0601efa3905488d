"""Which associations are accepted, and with which presentation contexts (PS3.8 9.3.2, 9.3.3).

The PDUs of the negotiation are pynetdicom's.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RJ, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
    MaximumLengthNotification,
)
from pynetdicom.presentation import PresentationContext
from pynetdicom.service_class import ServiceClass, StorageServiceClass
from pynetdicom.sop_class import uid_to_service_class

from imaging_fhir.dicomweb.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from imaging_fhir.feeds.upper_layer import (
    ASSOCIATE_RQ,
    INVALID_PARAMETER,
    UNEXPECTED_PDU,
    Pdu,
    ProtocolError,
)

VERIFICATION = "1.2.840.10008.1.1"  # its SOP class
APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
STANDARD_ROOT = "1.2.840.10008."
STORAGE_ROOT = "1.2.840.10008.5.1.4.1.1."
IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN = "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"
# Only where nothing else is proposed: one loses the VRs of private elements, the other is retired.
LAST_RESORTS = (IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN)
ACCEPTED, ABSTRACT_SYNTAX_NOT_SUPPORTED, TRANSFER_SYNTAXES_NOT_SUPPORTED = 0, 3, 4

FIXED_BYTES = 68  # of an A-ASSOCIATE-RQ before its items

logging.getLogger("pynetdicom").setLevel(logging.CRITICAL + 1)  # it would log what a peer sent


@dataclass(frozen=True, slots=True)
class Rejection:
    """Result, source and reason of an A-ASSOCIATE-RJ (PS3.8 table 9-21)."""

    result: int
    source: int
    reason: int
    words: str

    def pdu(self) -> bytes:
        pdu = A_ASSOCIATE_RJ()
        pdu.result, pdu.source, pdu.reason_diagnostic = self.result, self.source, self.reason
        return pdu.encode()


APPLICATION_CONTEXT_NOT_SUPPORTED = Rejection(1, 1, 2, "application context")
CALLING_AE_TITLE_NOT_RECOGNIZED = Rejection(
    1, 1, 3, "calling AE title, or its address or certificate, is not known"
)
CALLED_AE_TITLE_NOT_RECOGNIZED = Rejection(1, 1, 7, "called AE title is not ours")
PROTOCOL_VERSION_NOT_SUPPORTED = Rejection(1, 2, 2, "protocol version")
LOCAL_LIMIT_EXCEEDED = Rejection(2, 3, 2, "too many associations")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """`contexts` are those that the peer proposes."""

    primitive: A_ASSOCIATE
    calling_ae_title: str
    called_ae_title: str
    application_context: str
    is_version_1: bool
    contexts: Sequence[PresentationContext]


def request_of(pdu: Pdu) -> Request:
    """An A-ASSOCIATE-RQ as it is judged; raise ProtocolError."""
    if pdu.type != ASSOCIATE_RQ:
        raise ProtocolError(UNEXPECTED_PDU, "a PDU before the association")
    if len(pdu.body) < FIXED_BYTES:
        raise ProtocolError(INVALID_PARAMETER, "an A-ASSOCIATE-RQ that is cut off")
    try:
        received = A_ASSOCIATE_RQ()
        received.decode(bytes((pdu.type, 0)) + len(pdu.body).to_bytes(4, "big") + pdu.body)
        primitive = received.to_primitive()
        return Request(
            primitive=primitive,
            calling_ae_title=primitive.calling_ae_title.strip(),
            called_ae_title=primitive.called_ae_title.strip(),
            application_context=str(primitive.application_context_name),
            is_version_1=bool(received.protocol_version & 1),
            contexts=primitive.presentation_context_definition_list,
        )
    except Exception as error:  # any, of what it is decoded with
        raise ProtocolError(INVALID_PARAMETER, "an A-ASSOCIATE-RQ that is malformed") from error


def rejection_of(request: Request, called_ae_titles: Iterable[str]) -> Rejection | None:
    """What is wrong with it whoever sends it."""
    if not request.is_version_1:
        return PROTOCOL_VERSION_NOT_SUPPORTED
    if request.application_context != APPLICATION_CONTEXT:
        return APPLICATION_CONTEXT_NOT_SUPPORTED
    if request.called_ae_title not in called_ae_titles:
        return CALLED_AE_TITLE_NOT_RECOGNIZED
    return None


def negotiated(proposed: PresentationContext) -> PresentationContext:
    """The answer to one presentation context (PS3.8 table 9-18)."""
    context = PresentationContext()
    context.context_id = proposed.context_id
    context.abstract_syntax = proposed.abstract_syntax
    chosen = transfer_syntax(proposed)
    context.transfer_syntax = [chosen or proposed.transfer_syntax[0]]
    if not is_offered(str(proposed.abstract_syntax)):
        context.result = ABSTRACT_SYNTAX_NOT_SUPPORTED
    else:
        context.result = TRANSFER_SYNTAXES_NOT_SUPPORTED if chosen is None else ACCEPTED
    return context


def transfer_syntax(proposed: PresentationContext) -> str | None:
    """The first that is known: what is sent is kept as it is, so none is better by itself."""
    known = [
        syntax
        for syntax in proposed.transfer_syntax
        if not syntax.is_private and syntax.is_transfer_syntax
    ]
    return min(known, key=lambda syntax: syntax in LAST_RESORTS, default=None)


def is_offered(abstract_syntax: str) -> bool:
    return abstract_syntax == VERIFICATION or is_storage(abstract_syntax)


def is_storage(sop_class: str) -> bool:
    """Those of the standard, those that it may have since, and private ones (PS3.4 B.5)."""
    if not sop_class.startswith(STANDARD_ROOT):
        return True
    service = uid_to_service_class(sop_class)
    return service is StorageServiceClass or (
        service is ServiceClass and sop_class.startswith(STORAGE_ROOT)
    )


def acceptance(request: Request, contexts: Sequence[PresentationContext], *, max_pdu: int) -> bytes:
    """The A-ASSOCIATE-AC; roles stay the default ones, and operations are not asynchronous."""
    primitive = A_ASSOCIATE()
    primitive.application_context_name = APPLICATION_CONTEXT
    primitive.calling_ae_title = request.primitive.calling_ae_title
    primitive.called_ae_title = request.primitive.called_ae_title
    primitive.result, primitive.result_source = 0, 1
    primitive.presentation_context_definition_results_list = list(contexts)
    length = MaximumLengthNotification()
    length.maximum_length_received = max_pdu
    class_uid = ImplementationClassUIDNotification()
    class_uid.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    version = ImplementationVersionNameNotification()
    version.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    primitive.user_information = [length, class_uid, version]
    pdu = A_ASSOCIATE_AC()
    pdu.from_primitive(primitive)
    return pdu.encode()
