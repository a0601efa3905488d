import struct

import pytest
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dsutils import decode, encode

from imaging_fhir.feeds.command_set import (
    C_STORE as C_STORE_FIELD,
)
from imaging_fhir.feeds.command_set import (
    Command,
    MalformedCommand,
    Result,
    decoded,
    response,
)
from tests.dicom_samples import INSTANCE

CT = "1.2.840.10008.5.1.4.1.1.2"
STORE = Command(
    field=C_STORE_FIELD,
    message_id=7,
    has_data_set=True,
    sop_class_uid=CT,
    sop_instance_uid=INSTANCE,
)


def test_a_request_of_another_implementation_is_understood() -> None:
    primitive = C_STORE()
    primitive.MessageID, primitive.Priority = 7, 2
    primitive.AffectedSOPClassUID, primitive.AffectedSOPInstanceUID = CT, INSTANCE
    primitive.MoveOriginatorApplicationEntityTitle = "MOVER"
    primitive.MoveOriginatorMessageID = 3
    message = C_STORE_RQ()
    message.primitive_to_message(primitive)
    message.command_set.CommandDataSetType = 1
    command_set = encode(message.command_set, True, True)
    assert command_set is not None
    assert decoded(command_set) == STORE


def test_another_implementation_understands_the_response() -> None:
    from io import BytesIO

    said = decode(BytesIO(response(STORE, Result(status=0xA700, comment="é" * 80))), True, True)
    assert said.CommandField == 0x8001
    assert said.MessageIDBeingRespondedTo == 7
    assert said.AffectedSOPClassUID == CT
    assert said.AffectedSOPInstanceUID == INSTANCE
    assert said.CommandDataSetType == 0x0101
    assert said.Status == 0xA700
    assert said.ErrorComment == "?" * 64
    assert (
        said.CommandGroupLength
        == len(response(STORE, Result(status=0xA700, comment="é" * 80))) - 12
    )


def test_what_is_cut_off_anywhere_is_malformed() -> None:
    whole = response(STORE, Result(status=0))
    fields = {8 + 4, 0}
    position = 12
    while position < len(whole):
        fields.add(position)
        position += 8 + struct.unpack_from("<L", whole, position + 4)[0]
    for end in set(range(len(whole))) - fields:
        with pytest.raises(MalformedCommand):
            decoded(whole[:end])
