"""QIDO-RS: what matches, as its reader is to see it. No file is opened for it.

A corrected study is found, and told, with the identity of its Patient today, as it is retrieved.
"""

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from imaging_fhir.dicomweb.query_answer import (
    answer,
    computed,
    wants,
)
from imaging_fhir.images.dicom_identity import coerced_json
from imaging_fhir.model.caller import Caller
from imaging_fhir.model.codec import decode, decode_as
from imaging_fhir.model.dicom_query import DicomQuery
from imaging_fhir.model.merge import Merged
from imaging_fhir.model.study import DicomJson
from imaging_fhir.services.access import AccessPolicy
from imaging_fhir.services.coercion import Identity, identities_of
from imaging_fhir.settings import Settings
from imaging_fhir.storage import dicom_matches, dicom_query
from imaging_fhir.storage.database import AnyRow, Connection, Database
from imaging_fhir.storage.search import limited

MODALITIES_IN_STUDY, SOP_CLASSES_IN_STUDY = "00080061", "00080062"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One page of matches."""

    matches: Iterator[DicomJson]
    count: int
    has_more: bool
    remaining: int | None  # after this page; None where they were not counted


@dataclass(frozen=True, slots=True, kw_only=True)
class InStudies:
    """What is said of several studies together, by their keys."""

    modalities: dict[int, list[str]]
    sop_classes: dict[int, list[str]]
    identities: dict[str, Identity]  # by StudyInstanceUID


class QueryDicom:
    def __init__(self, database: Database, access: AccessPolicy, settings: Settings) -> None:
        self.database = database
        self.access = access
        self.settings = settings

    def find(self, query: DicomQuery, caller: Caller, base: str) -> Found:
        """Raise AccessDenied, SearchTooCostly. `base` is the address of DICOMweb."""
        self.access.require(caller, "search-type", "ImagingStudy")
        restrictions = self.access.restrictions(caller)
        with (
            self.database.read() as connection,
            limited(connection, self.settings.search_seconds),
        ):
            page = dicom_query.page(connection, query, restrictions)
            known = in_studies(connection, query, page.rows)
        return Found(
            matches=(answer(elements_of(row, query, known, base), query) for row in page.rows),
            count=len(page.rows),
            has_more=page.has_more,
            remaining=page.left,
        )


def in_studies(connection: Connection, query: DicomQuery, rows: Sequence[AnyRow]) -> InStudies:
    studies = {row.study_pk: row for row in rows}
    keys = list(studies)

    def if_wanted(
        tag: str, look_up: Callable[[Connection, Sequence[int]], dict[int, list[str]]]
    ) -> dict[int, list[str]]:
        return look_up(connection, keys) if keys and wants(query, tag) else {}

    return InStudies(
        modalities=if_wanted(MODALITIES_IN_STUDY, dicom_matches.modalities_of),
        sop_classes=if_wanted(SOP_CLASSES_IN_STUDY, dicom_matches.sop_classes_of),
        identities=identities_of(connection, list(studies.values())) if keys else {},
    )


def elements_of(row: AnyRow, query: DicomQuery, known: InStudies, base: str) -> DicomJson:
    """All that is known of a match, at its level and above."""
    identity = known.identities.get(row.study_instance_uid)
    said = with_identity(said_by(row, query), identity, is_whole=query.level == "instance")
    address = f"{base}/studies/{row.study_instance_uid}"
    values: dict[str, list[object]] = {
        "0020000D": [row.study_instance_uid],
        "00201206": [row.number_of_series],
        "00201208": [row.number_of_instances],
        MODALITIES_IN_STUDY: [*known.modalities.get(row.study_pk, ())],
        SOP_CLASSES_IN_STUDY: [*known.sop_classes.get(row.study_pk, ())],
    }
    if query.level != "study":
        address += f"/series/{row.series_instance_uid}"
        values |= {
            "00080060": [row.modality],
            "0020000E": [row.series_instance_uid],
            "00201209": [row.instances_of_series],
        }
    if query.level == "instance":
        address += f"/instances/{row.sop_instance_uid}"
        values |= {"00080018": [row.sop_instance_uid], "00083002": [row.transfer_syntax_uid]}
    return {**said, **computed(values, address)}


def said_by(row: AnyRow, query: DicomQuery) -> DicomJson:
    """What the images say: an instance itself, of a study or series all of them together."""
    if query.level == "instance":
        said: DicomJson = decode(zlib.decompress(row.body))
        return said
    elements: DicomJson = decode_as(Merged, row.attributes).elements()
    if query.level == "series":
        elements |= decode_as(Merged, row.series_attributes).elements()
    return elements


def with_identity(said: DicomJson, identity: Identity | None, *, is_whole: bool) -> DicomJson:
    """`is_whole`: a data set, whose UIDs are others too where its study was split off."""
    if identity is None:
        return said
    if is_whole and identity.minted is not None:
        said = identity.minted.in_json(said)
    return coerced_json(said, identity.elements)
