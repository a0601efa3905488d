from io import BytesIO

import pydicom
import pytest
from pydicom.uid import CTImageStorage, ImplicitVRLittleEndian

from imaging_fhir.dicomweb.part10 import file_head


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")  # of pydicom, that it is malformed
@pytest.mark.parametrize("uid", ["1.2.3", "1.2.34", "1.02.3", "not a UID"])
def test_a_head_names_the_instance_as_it_is(uid: str) -> None:
    head = file_head(
        sop_class_uid=CTImageStorage,
        sop_instance_uid=uid,
        transfer_syntax_uid=ImplicitVRLittleEndian,
    )
    meta = pydicom.dcmread(BytesIO(head)).file_meta
    assert head[:132] == bytes(128) + b"DICM"
    assert meta.MediaStorageSOPClassUID == CTImageStorage
    assert meta.MediaStorageSOPInstanceUID == uid
    assert meta.TransferSyntaxUID == ImplicitVRLittleEndian
    assert meta.FileMetaInformationGroupLength == len(head) - 132 - 12
