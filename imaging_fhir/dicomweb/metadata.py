"""DICOM JSON of many instances (PS3.18 F.2, 10.4.1.1.2), joined from what is stored."""

from collections.abc import Iterable, Iterator

PIECE = 64 * 1024
RELATIVE = b'"BulkDataURI":"bulkdata/'  # a quote inside a JSON text is escaped: this is no text


def with_bulk_data_base(json: bytes, instance_address: str) -> bytes:
    """Stored DICOM JSON, with the addresses of its bulk data made absolute."""
    if RELATIVE not in json:
        return json
    return json.replace(RELATIVE, b'"BulkDataURI":"%s/bulkdata/' % instance_address.encode())


def json_array(items: Iterable[bytes]) -> Iterator[bytes]:
    """A JSON array: the first item as it comes, then some at a time."""
    separator, some, size, least = b"[", list[bytes](), 0, 1
    for item in items:
        some += (separator, item)
        separator, size = b",", size + len(item)
        if size >= least:
            yield b"".join(some)
            some, size, least = [], 0, PIECE
    some.append(b"]" if separator == b"," else b"[]")
    yield b"".join(some)
