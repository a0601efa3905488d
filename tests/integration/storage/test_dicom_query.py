"""QIDO-RS finds, in random data sets, what a plain reading of the matching rules finds."""

import json
import random
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert

from imaging_fhir.dicomweb.query import Address, parse_query
from imaging_fhir.model.codec import encode
from imaging_fhir.model.dicom_query import Level
from imaging_fhir.model.merge import Merged
from imaging_fhir.model.text import folded, spelled_words
from imaging_fhir.storage import dicom_index, dicom_query, schema
from imaging_fhir.storage.database import Database, Transaction

Elements = dict[str, dict[str, Any]]
Parameters = dict[str, str]
LEVELS: tuple[Level, ...] = ("study", "series", "instance")

NAMES = ("Doe^John", "DOE^Jane^^Dr", "Müller^Änne=山田^太郎", "de la Cruz^Ana", "O'Neil^[x]")
NUMBERS = ("A1", "a1", "A[1]", "A_1", "A%1", "AA1", "B/2")
DATES = ("20200101", "20200102", "20200201")
TIMES = ("10", "1030", "103015.5", "235959")
MODALITIES = ("CT", "MR", "SR")
CLASSES = ("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4")
TEXTS = ("Head [CT]", "head", "He?d", "100% done_now")


def maybe(values: tuple[str, ...]) -> st.SearchStrategy[str | None]:
    return st.none() | st.sampled_from(values)


@dataclass
class Instance:
    uid: str
    sop_class: str
    number: int | None


@dataclass
class Series:
    uid: str
    modality: str
    number: int | None
    elements: Elements
    instances: list[Instance] = field(default_factory=list)


@dataclass
class Study:
    uid: str
    elements: Elements
    series: list[Series] = field(default_factory=list)


def element(vr: str, value: Any) -> dict[str, Any]:
    return {"vr": vr, "Value": [value]}


@st.composite
def studies(draw: st.DrawFn) -> list[Study]:
    found = []
    for number in range(draw(st.integers(0, 5))):
        elements: Elements = {}
        for tag, vr, values in (
            ("00080020", "DA", DATES),
            ("00080030", "TM", TIMES),
            ("00080050", "SH", NUMBERS),
            ("00081030", "LO", TEXTS),
            ("00100020", "LO", NUMBERS),
        ):
            value = draw(maybe(values))
            if value is not None:
                elements[tag] = element(vr, value)
        name = draw(maybe(NAMES))
        if name is not None:
            groups = dict(zip(("Alphabetic", "Ideographic"), name.split("="), strict=False))
            elements["00100010"] = element("PN", groups)
        study = Study(f"1.{number}", elements)
        for one in range(draw(st.integers(1, 2))):
            study.series.append(draw(series(f"1.{number}.{one}")))
        found.append(study)
    return found


@st.composite
def series(draw: st.DrawFn, uid: str) -> Series:
    elements: Elements = {}
    items = draw(st.lists(st.tuples(maybe(NUMBERS), maybe(NUMBERS)), max_size=2))
    said = [
        {
            tag: element("SH", value)
            for tag, value in zip(("00400009", "00401001"), item, strict=True)
            if value is not None
        }
        for item in items
    ]
    if said:
        elements["00400275"] = {"vr": "SQ", "Value": said}
    if date := draw(maybe(DATES)):
        elements["00400244"] = element("DA", date)
    if time := draw(maybe(TIMES)):
        elements["00400245"] = element("TM", time)
    number = draw(st.none() | st.integers(0, 3))
    if number is not None:
        elements["00200011"] = element("IS", number)
    made = Series(uid, draw(st.sampled_from(MODALITIES)), number, elements)
    for one in range(draw(st.integers(1, 2))):
        made.instances.append(
            Instance(
                f"{uid}.{one}", draw(st.sampled_from(CLASSES)), draw(st.none() | st.integers(0, 2))
            )
        )
    return made


PATTERNS = (*NUMBERS, "A*", "*1", "?1", "A?1", "*[*", "A_*", "*%1", "*", "")
RANGES = ("20200101", "20200101-20200102", "20200102-", "-20200101", "20210101-")
HOURS = ("10", "1030", "09-1030", "1030-", "-10", "103015-103016")
KEYS: dict[str, tuple[Level, tuple[str, ...]]] = {
    "PatientID": ("study", PATTERNS),
    "AccessionNumber": ("study", PATTERNS),
    "StudyDescription": ("study", (*TEXTS, "*ead*", "He*", "100%*", "*_now")),
    "PatientName": (
        "study",
        (
            "doe^john",
            "DOE*",
            "*ann*",
            "Muller^anne",
            "山田*",
            "müller*=山田*",
            "roe",
            "*[x]",
            "mueller",
        ),
    ),
    "StudyDate": ("study", RANGES),
    "StudyTime": ("study", HOURS),
    "StudyInstanceUID": ("study", ("1.0", "1.0,1.2", r"1.1\1.3")),
    "ModalitiesInStudy": ("study", (*MODALITIES, "C*", "CT,SR")),
    "SOPClassesInStudy": ("study", (CLASSES[0], ",".join(CLASSES))),
    "Modality": ("series", (*MODALITIES, "?R")),
    "SeriesNumber": ("series", ("1", "02")),
    "PerformedProcedureStepStartDate": ("series", RANGES),
    "PerformedProcedureStepStartTime": ("series", HOURS),
    "RequestAttributesSequence.ScheduledProcedureStepID": ("series", PATTERNS),
    "RequestAttributesSequence.RequestedProcedureID": ("series", PATTERNS),
    "SOPClassUID": ("instance", CLASSES),
    "InstanceNumber": ("instance", ("0", "1")),
}


def random_query(chance: random.Random, level: Level) -> Parameters:
    at = LEVELS.index(level)
    names = [name for name, (of, _) in KEYS.items() if LEVELS.index(of) <= at]
    chosen = chance.sample(names, chance.choice((0, 1, 1, 2, 3)))
    query = {name: chance.choice(KEYS[name][1]) for name in chosen}
    return {**query, "fuzzymatching": "true"} if chance.random() < 0.3 else query


# The rules, read plainly (PS3.4 C.2.2.2, PS3.18 8.3.4).


def text_matches(pattern: str, value: str | None) -> bool:
    if not pattern.strip("*"):
        return True
    if value is None:
        return False
    parts = (".*" if one == "*" else "." if one == "?" else re.escape(one) for one in pattern)
    return re.fullmatch("".join(parts), value, re.DOTALL) is not None


def name_matches(pattern: str, groups: dict[str, str], *, is_fuzzy: bool) -> bool:
    if not pattern.strip("*"):
        return True
    literal = all(
        any(text_matches(folded(part), folded(value)) for value in groups.values())
        for part in pattern.split("=")
    )
    known = spelled_words(" ".join(groups.values()))
    words = [spelled_words(word) for word in re.split(r"[\W_]+", pattern) if word]
    fuzzy = bool(words) and all(
        any(one.startswith(start) for one in known for start in word) for word in words
    )
    return literal or (is_fuzzy and fuzzy)


def seconds(time: str, *, end: bool) -> str:
    whole, _, fraction = time.partition(".")
    padded = whole + ("005959" if end else "000000")[len(whole) :]
    return padded + fraction.ljust(6, "9" if end else "0")


def bounds(value: str) -> tuple[str, str]:
    low, dash, high = value.partition("-")
    return (low, high) if dash else (low, low)


def date_matches(value: str, date: str | None) -> bool:
    if not value:
        return True
    low, high = bounds(value)
    return date is not None and (not low or date >= low) and (not high or date <= high)


def time_matches(value: str, time: str | None) -> bool:
    low, high = bounds(value)
    return (
        time is not None
        and (not low or seconds(time, end=False) >= seconds(low, end=False))
        and (not high or seconds(time, end=False) <= seconds(high, end=True))
    )


def moment_matches(dates: str, times: str, date: str | None, time: str | None) -> bool:
    (low, high), (start, end) = bounds(dates), bounds(times)
    moment = (date or "") + seconds(time or "", end=False)
    return (
        date is not None
        and (not low or moment >= low + seconds(start, end=False))
        and (not high or moment <= high + seconds(end, end=True))
    )


def form(value: str) -> tuple[bool, bool] | None:
    low, dash, high = value.partition("-")
    return (bool(low), bool(high)) if dash else None


def dates_match(query: Parameters, elements: Elements, names: tuple[str, str], tags: str) -> bool:
    date, time = (first(elements, tag) for tag in tags.split())
    dates, times = (query.get(name) for name in names)
    if dates and times and form(dates) and form(dates) == form(times):
        return moment_matches(dates, times, date, time)
    return (dates is None or date_matches(dates, date)) and (
        times is None or time_matches(times, time)
    )


def first(elements: Elements, tag: str) -> Any:
    return elements.get(tag, {}).get("Value", [None])[0]


def study_matches(study: Study, query: Parameters) -> bool:
    is_fuzzy = "fuzzymatching" in query
    modalities = {one.modality for one in study.series}
    classes = {one.sop_class for own in study.series for one in own.instances}
    texts = {"PatientID": "00100020", "AccessionNumber": "00080050", "StudyDescription": "00081030"}
    name = first(study.elements, "00100010") or {}
    return (
        all(
            text_matches(query[key], first(study.elements, tag))
            for key, tag in texts.items()
            if key in query
        )
        and name_matches(query.get("PatientName", ""), name, is_fuzzy=is_fuzzy)
        and dates_match(query, study.elements, ("StudyDate", "StudyTime"), "00080020 00080030")
        and study.uid in re.split(r"[,\\]", query.get("StudyInstanceUID", study.uid))
        and any(
            text_matches(pattern, one)
            for pattern in query.get("ModalitiesInStudy", "*").split(",")
            for one in modalities
        )
        and (
            "SOPClassesInStudy" not in query
            or bool(classes & set(query["SOPClassesInStudy"].split(",")))
        )
    )


def series_matches(own: Series, query: Parameters) -> bool:
    items = own.elements.get("00400275", {}).get("Value", [])
    asked = {
        tag: query[f"RequestAttributesSequence.{name}"]
        for tag, name in (
            ("00400009", "ScheduledProcedureStepID"),
            ("00401001", "RequestedProcedureID"),
        )
        if query.get(f"RequestAttributesSequence.{name}", "").strip("*")
    }
    step = "PerformedProcedureStepStart"
    return (
        text_matches(query.get("Modality", ""), own.modality)
        and ("SeriesNumber" not in query or own.number == int(query["SeriesNumber"]))
        and dates_match(query, own.elements, (f"{step}Date", f"{step}Time"), "00400244 00400245")
        and (
            not asked
            or any(
                all(text_matches(asked[tag], first(item, tag)) for tag in asked) for item in items
            )
        )
    )


def instance_matches(one: Instance, query: Parameters) -> bool:
    return query.get("SOPClassUID", one.sop_class) == one.sop_class and (
        "InstanceNumber" not in query or one.number == int(query["InstanceNumber"])
    )


def by_number(one: Series | Instance) -> tuple[bool, int, str]:
    return one.number is None, one.number or 0, one.uid


def moment(study: Study) -> str:
    date, time = first(study.elements, "00080020"), first(study.elements, "00080030")
    return "" if date is None else date + seconds(time or "", end=False)


def expected(known: list[Study], level: Level, query: Parameters) -> list[str]:
    newest = sorted(enumerate(known), key=lambda one: (moment(one[1]), one[0]), reverse=True)
    found = []
    for _, study in newest:
        if not study_matches(study, query):
            continue
        if level == "study":
            found.append(study.uid)
            continue
        for own in sorted(study.series, key=by_number):
            if not series_matches(own, query):
                continue
            if level == "series":
                found.append(own.uid)
                continue
            ordered = sorted(own.instances, key=by_number)
            found += [one.uid for one in ordered if instance_matches(one, query)]
    return found


# What is there, and what is asked of it.


def said(elements: Elements) -> bytes:
    return encode(Merged(values={tag: ((1, 1, "1"), one) for tag, one in elements.items()}))


def put(transaction: Transaction, known: list[Study]) -> None:
    blob = transaction.execute(
        insert(schema.blob).returning(schema.blob.c.pk),
        {"sha256": "x", "generation": 1, "size": 1, "live": True, "created": 1},
    ).scalar_one()
    for study in known:
        rid = transaction.execute(
            insert(schema.resource).returning(schema.resource.c.rid),
            {
                "type": "ImagingStudy",
                "id": study.uid,
                "version": 1,
                "last_updated": 1,
                "deleted": False,
            },
        ).scalar_one()
        pk = dicom_index.add_study(
            transaction,
            study_instance_uid=study.uid,
            state="filed",
            rid=rid,
            attributes=said(study.elements),
            head=b"",
            source="",
            zone="",
            **dict.fromkeys(("person", "given", "link"), b""),
        )
        for own in study.series:
            put_series(transaction, pk, own, blob)


def put_series(transaction: Transaction, study: int, own: Series, blob: int) -> None:
    pk = dicom_index.add_series(
        transaction,
        study=study,
        series_instance_uid=own.uid,
        series_number=own.number,
        modality=own.modality,
        attributes=said(own.elements),
        head=b"",
    )
    for one in own.instances:
        instance = transaction.execute(
            insert(schema.instance).returning(schema.instance.c.pk),
            {
                "series": pk,
                "sop_instance_uid": one.uid,
                "sop_class_uid": one.sop_class,
                "transfer_syntax_uid": "1.2",
                "instance_number": one.number,
                "has_pixel_data": False,
                "blob": blob,
                "source": "",
                "received": 1,
                "fragment": b"",
            },
        ).scalar_one()
        body = zlib.compress(json.dumps({}).encode())
        transaction.execute(insert(schema.dicom_json), {"instance": instance, "body": body})


def clear(transaction: Transaction) -> None:
    for table in ("dicom_json", "instance", "series", "study", "resource", "blob"):
        transaction.execute(delete(schema.metadata.tables[table]))


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    found = Database(database_url)
    yield found
    found.close()


UIDS = {"study": "study_instance_uid", "series": "series_instance_uid"}


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(known=studies(), seed=st.integers(0, 2**32))
def test_what_matches_is_found_in_its_order_page_by_page(
    database: Database, known: list[Study], seed: int
) -> None:
    database.write(clear)
    database.write(lambda transaction: put(transaction, known))
    chance = random.Random(seed)
    with database.read() as connection:
        for _ in range(12):
            level = chance.choice(LEVELS)
            parameters = random_query(chance, level)
            query = parse_query(Address(level=level), list(parameters.items()), max_results=100)
            page = dicom_query.page(connection, query, {})
            found = [getattr(row, UIDS.get(level, "sop_instance_uid")) for row in page.rows]
            assert found == expected(known, level, parameters), parameters
            assert not page.has_more
            limit, offset = chance.randrange(1, 4), chance.randrange(3)
            pages = [*parameters.items(), ("limit", str(limit)), ("offset", str(offset))]
            part = parse_query(Address(level=level), pages, max_results=100)
            page = dicom_query.page(connection, part, {})
            shown = [getattr(row, UIDS.get(level, "sop_instance_uid")) for row in page.rows]
            assert shown == found[offset : offset + limit]
            left = max(0, len(found) - offset - limit)
            assert (page.has_more, page.left) == (left > 0, left)
