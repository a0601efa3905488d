"""Search parameters that R4 has not: our own, each served as a SearchParameter of its name.

`modality`, `anatomical-region`, `study-instance-uid` and `accession-number` are named as IHE MADO
names them, `creation` as IHE MHD does. `modality` and `bodysite` are called the same in
ImagingStudy, so that one search over both types can have them.
"""

from functools import partial

from imaging_fhir.fhir import canonical
from imaging_fhir.fhir.search_parameter import parameter
from imaging_fhir.model.search import SearchParameter

own = partial(parameter, own=True)
BODY_SITE = "extension@body-site.extension@concept.valueCodeableConcept"
RELATED = "context.related.identifier"

OWN: dict[str, tuple[SearchParameter, ...]] = {
    "ImagingStudy": (
        own("string", "description", documentation="The study's description, as it begins."),
        own(
            "string",
            "bodysite-text",
            "series.bodySite.display",
            documentation="The body site of a series in words, where it has no code too.",
        ),
        own(
            "token",
            "laterality",
            "series.laterality",
            documentation="The side of the body that a series shows.",
        ),
        own(
            "number",
            "number-of-instances",
            "numberOfInstances",
            documentation="How many images the study has.",
        ),
    ),
    "DiagnosticReport": (
        own(
            "reference",
            "imaging-study",
            "imagingStudy",
            targets="ImagingStudy",
            documentation="The imaging study that it is about: as it says itself, or tied here by "
            "study UID, accession number or order.",
        ),
    ),
    "Task": (
        own("token", "reason", "reasonCode", documentation="The rule that held the image."),
        own(
            "token",
            "modality",
            "input.valueCoding",
            where=("system", canonical.DCM),
            documentation="What a held image was made with.",
        ),
        own(
            "token",
            "source",
            "input.valueCoding",
            where=("system", canonical.IMAGE_SOURCE),
            documentation="Where a held image came from: the id of the source in the site file.",
        ),
    ),
    "DocumentReference": (
        own(
            "date",
            "creation",
            "content.attachment.creation",
            documentation="When the picture was taken, or the document made.",
        ),
        own(
            "token",
            "modality",
            "extension@modality.valueCodeableConcept",
            documentation="What it was made with: the modality of R5 as an extension.",
        ),
        own(
            "token",
            "bodysite",
            BODY_SITE,
            documentation="What part of the body it shows: the bodySite of R5 as an extension.",
        ),
        own("token", "anatomical-region", BODY_SITE, documentation="The same as bodysite."),
        own(
            "token",
            "study-instance-uid",
            RELATED,
            where=("system", canonical.DICOM_UID),
            uid=True,
            documentation="The UID of the imaging study that it belongs to, by its identifier.",
        ),
        own(
            "token",
            "accession-number",
            RELATED,
            typed=("ACSN", "121022"),
            documentation="The accession number of the imaging that it belongs to: a related "
            "identifier of type ACSN, or of DICOM's 121022.",
        ),
    ),
}
