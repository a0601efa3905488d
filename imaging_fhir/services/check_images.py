"""Compares what FHIR and DICOMweb say of images with the index, and the index with the files."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from imaging_fhir.errors import ImagingError
from imaging_fhir.images.dicom import DicomReader
from imaging_fhir.model.blob import Blob
from imaging_fhir.model.codec import Resource, decode
from imaging_fhir.model.study import DicomInstance
from imaging_fhir.services.finding import Finding
from imaging_fhir.services.studies import Studies
from imaging_fhir.storage import dicom_consistency, minted_uids
from imaging_fhir.storage.database import AnyRow, Database
from imaging_fhir.storage.ports import BlobStore

Uids = dict[str, set[str]]  # of a series -> of its instances


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageCheck:
    database: Database
    store: BlobStore

    def studies(self) -> Iterator[Finding]:
        """ImagingStudies that name other series or instances than DICOMweb serves."""
        after = 0
        while page := self.page_of_studies(after):
            for row in page:
                after = row.pk
                if self.names_others(row):
                    yield Finding(kind="wrong-instances", subject=f"ImagingStudy/{row.id}")

    def page_of_studies(self, after: int) -> list[AnyRow]:
        with self.database.read() as connection:
            return dicom_consistency.filed_studies(connection, after=after)

    def names_others(self, row: AnyRow) -> bool:
        with self.database.read() as connection:
            stored = dicom_consistency.resource_of(connection, row.pk)
            if stored is None:  # deleted, held or erased meanwhile
                return False
            indexed = dicom_consistency.uids_of(connection, row.pk)
            return uids_in(decode(Studies().body(connection, stored))) != indexed

    def files(self, *, repair: bool) -> Iterator[Finding]:
        """Instances whose DICOM JSON or UIDs are not those of their bytes.

        A file that cannot be read is none of these: its bytes are not those of its row.
        """
        after = 0
        while page := self.page_of_instances(after):
            for row in page:
                after = row.pk
                image = self.read(row)
                if image is not None:
                    yield from self.compared(row, image, repair=repair)

    def page_of_instances(self, after: int) -> list[AnyRow]:
        with self.database.read() as connection:
            return dicom_consistency.instances(connection, after=after)

    def read(self, row: AnyRow) -> DicomInstance | None:
        blob = Blob(sha256=row.sha256, size=row.size, generation=row.generation)
        try:
            with self.store.open(blob) as stream:
                return DicomReader().read(stream)
        except ImagingError:
            return None

    def compared(self, row: AnyRow, image: DicomInstance, *, repair: bool) -> Iterator[Finding]:
        if self.uids_in_bytes(row) != uids_of_image(image):
            yield Finding(kind="wrong-uid", subject=f"instance/{row.sop_instance_uid}")
        if dicom_consistency.metadata_of(row) != image.dicom_json:
            if repair:
                self.database.write(
                    partial(
                        dicom_consistency.replace_metadata,
                        instance_pk=row.pk,
                        json=image.dicom_json,
                    )
                )
            yield Finding(
                kind="wrong-metadata",
                subject=f"instance/{row.sop_instance_uid}",
                repaired=repair,
            )

    def uids_in_bytes(self, row: AnyRow) -> tuple[str, str, str]:
        """Those of a study that was split off are others than its files have."""
        with self.database.read() as connection:
            minted = minted_uids.of_study(connection, row.study_instance_uid)
        former = minted_uids.Former.of(minted)
        return former.uids(row.study_instance_uid, row.series_instance_uid, row.sop_instance_uid)


def uids_in(study: Resource) -> Uids:
    return {
        series["uid"]: {instance["uid"] for instance in series.get("instance", ())}
        for series in study.get("series", ())
    }


def uids_of_image(image: DicomInstance) -> tuple[str, str, str]:
    return (
        image.study.study_instance_uid,
        image.series.series_instance_uid,
        image.instance.sop_instance_uid,
    )
