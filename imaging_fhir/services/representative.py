"""The one image that stands for a series or a study, chosen as a radiologist would.

Of a series the middle one, of a study that of its most telling series; a localizer, a report of
the dose or what has no pixels stands for it only where there is nothing else.
"""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from imaging_fhir.errors import ResourceNotFound
from imaging_fhir.model.codec import decode
from imaging_fhir.storage import representative
from imaging_fhir.storage.database import AnyRow, Connection

NONE_STANDS_FOR_IT = "There is no such study or series here."
MOST_TRIED = 16  # images of a series, from its middle outwards
MOST_SERIES = 100  # of a study
IMAGE_TYPE, DESCRIPTION, ROWS = "00080008", "0008103E", "00280010"
LOCALIZERS = ("localizer", "localiser", "scout", "topogram", "survey", "surview", "scanogram")
NOT_PICTURES = frozenset(  # modalities of what is said about images (PS3.3 C.7.3.1.1.1)
    (
        "ANN",
        "AU",
        "DOC",
        "FID",
        "KO",
        "M3D",
        "PLAN",
        "PR",
        "REG",
        "RTPLAN",
        "RTRECORD",
        "RTSTRUCT",
        "RWV",
        "SEG",
        "SMR",
        "SR",
        "STAIN",
        "TEXTUREMAP",
    )
)
DERIVED = frozenset(("OT", "SC", "RTDOSE", "RTIMAGE"))  # screens, dose reports, doses


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """Where the image is; `blob` is the key of its bytes."""

    series_instance_uid: str
    sop_instance_uid: str
    blob: int
    frames: int


def chosen(
    connection: Connection, study_instance_uid: str, series_instance_uid: str | None = None
) -> Chosen:
    """Of the study, or of that series of it; raise ResourceNotFound."""
    all_series = representative.visible_series(connection, study_instance_uid)
    if series_instance_uid is not None:
        all_series = [row for row in all_series if row.series_instance_uid == series_instance_uid]
    ranked = [
        (rank(connection, row, instance), number, row, instance)
        for number, row in enumerate(all_series[:MOST_SERIES])
        if (instance := of_series(connection, row)) is not None
    ]
    if not ranked:
        raise ResourceNotFound(NONE_STANDS_FOR_IT)
    _, _, series, instance = min(ranked, key=lambda one: one[:2])
    return Chosen(
        series_instance_uid=series.series_instance_uid,
        sop_instance_uid=instance.sop_instance_uid,
        blob=instance.blob,
        frames=max(instance.number_of_frames or 1, 1),
    )


def of_series(connection: Connection, series: AnyRow) -> AnyRow | None:
    """The instance chosen before, in the background, or one chosen now."""
    if series.picture is not None:
        found = representative.instance_of_blob(connection, series.pk, series.picture)
        if found is not None:
            return found
    return choose(connection, series.pk)


def choose(connection: Connection, series_pk: int) -> AnyRow | None:
    """The nearest to the middle that is no localizer; the middle where all tried are."""
    instances = representative.instances_to_choose(connection, series_pk)
    for instance in outwards(instances):
        if not is_localizer(facts(connection, instance.pk)):
            return instance
    return instances[len(instances) // 2] if instances else None


def outwards(instances: Sequence[AnyRow]) -> Iterator[AnyRow]:
    middle = len(instances) // 2
    nearest = sorted(range(len(instances)), key=lambda at: (abs(at - middle), -at))
    return (instances[at] for at in nearest[:MOST_TRIED])


def rank(connection: Connection, series: AnyRow, instance: AnyRow) -> tuple[bool, bool, bool, int]:
    """The lowest stands for the study: a picture, no localizer, not derived, of most images."""
    described = facts(connection, instance.pk)
    is_picture = series.modality not in NOT_PICTURES and ROWS in described
    images = max(series.number_of_instances, instance.number_of_frames or 1)
    return not is_picture, is_localizer(described), series.modality in DERIVED, -images


def facts(connection: Connection, instance_pk: int) -> dict[str, dict[str, list[object]]]:
    body = representative.described(connection, instance_pk)
    described: dict[str, dict[str, list[object]]] = decode(zlib.decompress(body)) if body else {}
    return described


def is_localizer(described: dict[str, dict[str, list[object]]]) -> bool:
    """As its ImageType says (PS3.3 C.7.6.1.1.2), or the series' description."""
    types = described.get(IMAGE_TYPE, {}).get("Value") or []
    words = " ".join(str(one) for one in described.get(DESCRIPTION, {}).get("Value") or [])
    return "LOCALIZER" in types or any(word in words.lower() for word in LOCALIZERS)
