"""DIMSE command sets (PS3.7 6.3, 9.3): implicit VR little endian, elements of group 0000."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass

C_STORE, C_ECHO, C_CANCEL = 0x0001, 0x0030, 0x0FFF
RESPONSE = 0x8000  # this bit in a command field
NO_DATA_SET = 0x0101

GROUP_LENGTH, AFFECTED_SOP_CLASS_UID, COMMAND_FIELD = 0x0000, 0x0002, 0x0100
MESSAGE_ID, MESSAGE_ID_RESPONDED_TO = 0x0110, 0x0120
COMMAND_DATA_SET_TYPE, STATUS, ERROR_COMMENT = 0x0800, 0x0900, 0x0902
AFFECTED_SOP_INSTANCE_UID = 0x1000

SUCCESS = 0x0000
INVALID_SOP_INSTANCE, SOP_CLASS_NOT_SUPPORTED, UNRECOGNIZED_OPERATION = 0x0117, 0x0122, 0x0211
MAX_COMMENT_CHARACTERS = 64  # of LO


class MalformedCommand(Exception):
    """It is no command set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A request, as far as this side looks at it."""

    field: int
    message_id: int
    has_data_set: bool
    sop_class_uid: str = ""
    sop_instance_uid: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    status: int
    comment: str = ""


def decoded(encoded: bytes) -> Command:
    """Raise MalformedCommand."""
    values = elements(encoded)
    return Command(
        field=number(values, COMMAND_FIELD),
        message_id=number(values, MESSAGE_ID) if MESSAGE_ID in values else 0,
        has_data_set=number(values, COMMAND_DATA_SET_TYPE) != NO_DATA_SET,
        sop_class_uid=text(values, AFFECTED_SOP_CLASS_UID),
        sop_instance_uid=text(values, AFFECTED_SOP_INSTANCE_UID),
    )


def elements(encoded: bytes) -> dict[int, bytes]:
    """Values by element number."""
    values: dict[int, bytes] = {}
    position = 0
    while position < len(encoded):
        if position + 8 > len(encoded):
            raise MalformedCommand("an element is cut off")
        group, element, length = struct.unpack_from("<HHL", encoded, position)
        start, position = position + 8, position + 8 + length
        if group != 0 or position > len(encoded):
            raise MalformedCommand("an element is of another group, or cut off")
        values[element] = encoded[start:position]
    return values


def number(values: Mapping[int, bytes], element: int) -> int:
    value = values.get(element, b"")
    if len(value) != 2:
        raise MalformedCommand(f"(0000,{element:04X}) is no number")
    return int.from_bytes(value, "little")


def text(values: Mapping[int, bytes], element: int) -> str:
    return values.get(element, b"").decode("ascii", "replace").strip(" \0")


def response(command: Command, result: Result) -> bytes:
    """What answers a request (9.3.1.2, 9.3.5.2)."""
    fields = (
        (AFFECTED_SOP_CLASS_UID, uid(command.sop_class_uid)),
        (COMMAND_FIELD, short(command.field | RESPONSE)),
        (MESSAGE_ID_RESPONDED_TO, short(command.message_id)),
        (COMMAND_DATA_SET_TYPE, short(NO_DATA_SET)),
        (STATUS, short(result.status)),
        (ERROR_COMMENT, comment(result.comment)),
        (AFFECTED_SOP_INSTANCE_UID, uid(command.sop_instance_uid)),
    )
    body = b"".join(encoded(element, value) for element, value in fields if value)
    return encoded(GROUP_LENGTH, struct.pack("<L", len(body))) + body


def encoded(element: int, value: bytes) -> bytes:
    return struct.pack("<HHL", 0, element, len(value)) + value


def short(value: int) -> bytes:
    return struct.pack("<H", value)


def uid(value: str) -> bytes:
    return even(value.encode("ascii", "replace"), b"\0")


def comment(value: str) -> bytes:
    return even(value.encode("ascii", "replace")[:MAX_COMMENT_CHARACTERS], b" ")


def even(value: bytes, padding: bytes) -> bytes:
    return value + padding if len(value) % 2 else value
