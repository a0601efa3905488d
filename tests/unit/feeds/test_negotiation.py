import pytest
from pynetdicom.presentation import AllStoragePresentationContexts
from pynetdicom.sop_class import _STORAGE_CLASSES

from imaging_fhir.feeds.negotiation import is_offered, is_storage, request_of
from imaging_fhir.feeds.upper_layer import Pdu, ProtocolError
from tests.dimse import association_request


def test_all_storage_classes_are_offered() -> None:
    assert all(map(is_storage, _STORAGE_CLASSES.values()))
    assert all(is_storage(str(one.abstract_syntax)) for one in AllStoragePresentationContexts)


@pytest.mark.parametrize(
    ("uid", "is_one"),
    [
        ("1.2.840.113619.4.26", True),  # private
        ("1.2.840.10008.5.1.4.1.1.9999", True),  # to come
        ("1.2.840.10008.1.1", False),  # Verification
        ("1.2.840.10008.5.1.4.1.2.1.1", False),  # Patient Root Query/Retrieve - FIND
        ("1.2.840.10008.5.1.4.39.1", False),  # Color Palette Storage: of no patient
        ("1.2.840.10008.1.20.1", False),  # Storage Commitment
        ("1.2.840.10008.5.1.4.31", False),  # Modality Worklist
    ],
)
def test_other_services_are_no_storage(uid: str, is_one: bool) -> None:
    assert is_storage(uid) is is_one
    assert is_offered(uid) is (is_one or uid == "1.2.840.10008.1.1")


def test_what_is_asked_for_is_understood() -> None:
    body = association_request([("1.2.840.10008.1.1", ["1.2.840.10008.1.2"])], "CT1", "US")[6:]
    request = request_of(Pdu(1, body))
    assert (request.calling_ae_title, request.called_ae_title) == ("CT1", "US")
    assert request.is_version_1
    with pytest.raises(ProtocolError):
        request_of(Pdu(4, body))


def test_a_request_cut_off_anywhere_is_told() -> None:
    body = association_request([("1.2.840.10008.1.1", ["1.2.840.10008.1.2"])], "CT1", "US")[6:]
    ends_of_items = {end for end in range(len(body)) if is_understood(body[:end])}
    assert len(ends_of_items) <= 3
    assert is_understood(body)


def is_understood(body: bytes) -> bool:
    try:
        request_of(Pdu(1, body))
    except ProtocolError:
        return False
    return True
