"""Searches on both engines, held against a search that looks at every resource."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy import Connection, Table, func, insert, select, text, update

from imaging_fhir.errors import InvalidRequest, SearchTooCostly
from imaging_fhir.fhir.search_index import index_entries
from imaging_fhir.fhir.search_query import parse_query
from imaging_fhir.model.codec import Resource
from imaging_fhir.model.search import (
    Criterion,
    Query,
    ReferenceValue,
)
from imaging_fhir.storage import resources, search, search_index
from imaging_fhir.storage.database import Database, Transaction
from imaging_fhir.storage.schema import (
    INDEX_TABLES,
    blob,
    instance,
    resource,
    series,
    study,
    token_index,
)
from imaging_fhir.storage.search_inclusion import included
from imaging_fhir.storage.search_paging import position_text

BASE = "http://127.0.0.1:8080/fhir"
MARCH = 1_773_446_400_000


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url, clock=lambda: MARCH)
    yield database
    database.close()


def put(database: Database, content: Resource) -> int:
    return database.write(lambda transaction: put_in(transaction, content))


def put_in(transaction: Transaction, content: Resource) -> int:
    type_, id_ = content["resourceType"], content["id"]
    return resources.put(transaction, type_, id_, content, index_entries(type_, content)).rid


def query_of(address: str, **options: object) -> Query:
    type_, _, rest = address.partition("?")
    pairs = [pair.partition("=")[::2] for pair in rest.split("&") if pair]
    return parse_query(type_, pairs, base=BASE, strict=True, **options)  # type: ignore[arg-type]


def found(connection: Connection, address: str) -> list[str]:
    page = search.search(connection, query_of(address))
    return [match.id for match in page.matches]


def all_pages(connection: Connection, query: Query) -> list[int]:
    rids: list[int] = []
    after: str | None = None
    while True:
        page = search.search(connection, replace(query, after=after))
        assert len(page.matches) <= query.count
        rids += [match.rid for match in page.matches]
        after = page.next_after
        if after is None:
            return rids
        assert len(page.matches) == query.count


def patient(number: int, **elements: object) -> Resource:
    return {"resourceType": "Patient", "id": f"p{number}", **elements}


def test_pages_neither_skip_nor_repeat_while_others_write(database: Database) -> None:
    for number in range(10):
        put(database, patient(number, birthDate=f"20{number:02}-01-01"))
    seen: list[str] = []
    after: str | None = None
    for step in range(4):
        with database.read() as connection:
            query = replace(query_of("Patient?_sort=birthdate&_count=3"), after=after)
            page = search.search(connection, query)
        seen += [match.id for match in page.matches]
        after = page.next_after
        put(database, patient(100 + step, birthDate="1990-01-01"))  # before all of them
        put(database, patient(step, birthDate=f"20{step:02}-01-01", active=True))
    assert seen == [f"p{number}" for number in range(10)]
    assert after is None


def test_what_has_no_value_comes_last_in_either_direction(database: Database) -> None:
    put(database, patient(1))
    put(database, patient(2, birthDate="2001-01-01"))
    put(database, patient(3, birthDate="2002-01-01"))
    with database.read() as connection:
        assert found(connection, "Patient?_sort=birthdate") == ["p2", "p3", "p1"]
        assert found(connection, "Patient?_sort=-birthdate") == ["p3", "p2", "p1"]
        assert found(connection, "Patient?_sort=birthdate&_id=p1,p2,p3") == ["p2", "p3", "p1"]
        assert found(connection, "Patient?_sort=-birthdate&_id=p1,p2") == ["p2", "p1"]


@pytest.mark.parametrize("criteria", ["", "&_id=p1,p2"])
def test_of_several_values_the_first_in_the_order_counts(database: Database, criteria: str) -> None:
    put(database, patient(1, identifier=[{"value": "b"}, {"value": "d"}]))
    put(database, patient(2, identifier=[{"value": "c"}, {"value": "c", "system": "urn:a"}]))
    with database.read() as connection:
        assert found(connection, f"Patient?_sort=identifier{criteria}") == ["p1", "p2"]
        assert found(connection, f"Patient?_sort=-identifier{criteria}") == ["p1", "p2"]


def test_without_sort_the_newest_come_first(database: Database) -> None:
    for number in range(3):
        put(database, patient(number))
    with database.read() as connection:
        assert found(connection, "Patient") == ["p2", "p1", "p0"]


def test_a_deleted_resource_is_found_no_more(database: Database) -> None:
    put(database, patient(1, gender="other"))
    database.write(lambda transaction: resources.delete(transaction, "Patient", "p1"))
    with database.read() as connection:
        assert found(connection, "Patient") == []
        assert found(connection, "Patient?gender=other") == []
        assert connection.execute(select(func.count()).select_from(token_index)).scalar() == 0


def test_a_hidden_resource_is_not_found_though_it_is_indexed(database: Database) -> None:
    put(database, patient(1, gender="other"))
    database.write(lambda t: t.execute(update(resource).values(deleted=True)))
    with database.read() as connection:
        assert found(connection, "Patient?gender=other") == []


def test_a_wildcard_in_a_value_is_no_wildcard(database: Database) -> None:
    put(database, patient(1, name=[{"family": "100%_a"}]))
    put(database, patient(2, name=[{"family": "1000a"}]))
    with database.read() as connection:
        assert found(connection, "Patient?family=100%") == ["p1"]
        assert found(connection, "Patient?family:contains=%_") == ["p1"]


def test_names_are_found_whatever_their_case_and_accents(database: Database) -> None:
    put(database, patient(1, name=[{"family": "Ångström", "given": ["José"]}]))
    with database.read() as connection:
        assert found(connection, "Patient?name=angs") == ["p1"]
        assert found(connection, "Patient?given=JOSE") == ["p1"]
        assert found(connection, "Patient?family:exact=angstrom") == []
        assert found(connection, "Patient?phonetic=Angstrem") == ["p1"]


def test_a_position_that_was_tampered_with_is_refused(database: Database) -> None:
    put(database, patient(1))
    with database.read() as connection:
        for text_ in ("x", "W10", "WzEsMl0", "bnVsbA", "WyJhIl0", "é", "W3RydWVd"):
            with pytest.raises(InvalidRequest, match="no page"):
                search.search(connection, replace(query_of("Patient"), after=text_))


@pytest.mark.parametrize("position", [["a", 1], [True, 1], [2**63, 1], [1.5, 1], [1, None], [1]])
@pytest.mark.parametrize("criteria", ["", "&_id=p1", "&active=true"])
def test_a_position_in_another_order_is_refused(
    database: Database, position: list[object], criteria: str
) -> None:
    query = query_of(f"Patient?_sort=birthdate{criteria}")
    with database.read() as connection, pytest.raises(InvalidRequest, match="no page"):
        search.search(connection, replace(query, after=position_text(position)))


def test_as_many_alternatives_as_may_be_given_are_searched(database: Database) -> None:
    put(database, patient(1, identifier=[{"system": "urn:a", "value": "499"}]))
    every = ",".join(f"urn:a|{number}" for number in range(500))
    with database.read() as connection:
        assert found(connection, f"Patient?identifier={every}") == ["p1"]
        assert found(connection, f"Patient?_id:not={','.join(map(str, range(500)))}") == ["p1"]
        texts = ",".join(f"text{number}" for number in range(100))
        for key in (
            "family",
            "family:contains",
            "birthdate:missing=true&link:text",
            "_profile:below",
        ):
            assert found(connection, f"Patient?{key}={texts}&_sort=family") == []


def test_find_ids_stops_at_its_limit(database: Database) -> None:
    for number in range(5):
        put(database, patient(number, identifier=[{"system": "urn:a", "value": "7"}]))
    with database.read() as connection:
        query = query_of("Patient?identifier=urn:a|7")
        assert len(search.find_ids(connection, query, limit=2)) == 2
        assert search.find_ids(connection, query_of("Patient?identifier=urn:b|7"), limit=2) == []


def test_a_summary_count_has_no_matches(database: Database) -> None:
    put(database, patient(1))
    with database.read() as connection:
        page = search.search(connection, query_of("Patient?_count=0"))
    assert (page.total, page.matches, page.next_after) == (1, (), None)


def add_images(database: Database, rid: int) -> None:
    """A filed study of one series with one instance, in the DICOM index."""

    def unit(transaction: Transaction) -> None:
        def add(table: Table, **values: object) -> int:
            statement = insert(table).values(**values).returning(table.c.pk)
            pk: int = transaction.execute(statement).scalar_one()
            return pk

        content = add(blob, sha256="0", generation=0, size=1, live=True, created=0)
        empty = {"attributes": b"", "head": b""}
        of_study = add(
            study, study_instance_uid="1.2.3", state="filed", corrected=False, rid=rid,
            person=b"", given=b"",
            source="", zone="", link=b"", number_of_series=1, number_of_instances=1, created=0,
            updated=0, moment="", **empty,
        )  # fmt: skip
        of_series = add(
            series, study=of_study, series_instance_uid="1.2.3.4", modality="CT",
            number_of_instances=1, **empty,
        )  # fmt: skip
        add(
            instance, series=of_series, sop_instance_uid="1.2.3.4.5", sop_class_uid="1.2.840.1",
            transfer_syntax_uid="1.2", has_pixel_data=True, blob=content, source="", received=0,
            fragment=b"",
        )  # fmt: skip

    database.write(unit)


@pytest.mark.parametrize(
    "parameter",
    [
        "instance=1.2.3.4.5",
        "instance=urn:oid:1.2.3.4.5",
        "instance=urn:dicom:uid|urn:oid:1.2.3.4.5",
        "series=1.2.3.4",
        "series=9.9,urn:oid:1.2.3.4",
        "dicom-class=urn:ietf:rfc:3986|urn:oid:1.2.840.1",
        "dicom-class=1.2.840.1&instance:missing=false",
        "series:not=1.2.3.4.9",
        "identifier=1.2.3",
        "identifier=urn:dicom:uid|urn:oid:1.2.3",
        "identifier=urn:dicom:uid|1.2.3",
        "number-of-instances=1",
        "number-of-instances=7,lt2&number-of-instances:missing=false",
    ],
)
def test_a_study_is_found_by_its_uids_however_they_are_spelled(
    database: Database, parameter: str
) -> None:
    identifier = [{"system": "urn:dicom:uid", "value": "urn:oid:1.2.3"}]
    content = {"resourceType": "ImagingStudy", "id": "s", "identifier": identifier}
    add_images(database, put(database, content))
    put(database, {**content, "id": "other", "identifier": []})
    expected = ["other", "s"] if "not" in parameter else ["s"]
    with database.read() as connection:
        assert found(connection, f"ImagingStudy?{parameter}") == expected
        assert found(connection, "ImagingStudy?instance=urn:other|1.2.3.4.5") == []
        assert found(connection, "ImagingStudy?instance:missing=true") == ["other"]
        assert found(connection, "ImagingStudy?number-of-instances=gt1") == []


def test_an_accession_number_is_found_by_the_type_of_its_identifier(database: Database) -> None:
    type_ = {"coding": [{"system": "http://v2", "code": "ACSN"}]}
    accession = {"type": type_, "system": "urn:a", "value": "A7"}
    other = {"system": "urn:o", "value": "A8"}
    identifiers = {"identifier": [accession, other]}
    put(database, {"resourceType": "ImagingStudy", "id": "s", **identifiers})
    related = [{"identifier": one} for one in identifiers["identifier"]]
    content = {"resourceType": "DocumentReference", "id": "d", "context": {"related": related}}
    put(database, content)
    with database.read() as connection:
        assert found(connection, "ImagingStudy?identifier:of-type=http://v2|ACSN|A7") == ["s"]
        assert found(connection, "ImagingStudy?identifier:of-type=http://v2|MR|A7") == []
        assert found(connection, "ImagingStudy?identifier=A7") == ["s"]
        assert found(connection, "DocumentReference?accession-number=urn:a|A7") == ["d"]
        assert found(connection, "DocumentReference?accession-number=A8") == []


def test_a_list_finds_its_items(database: Database) -> None:
    put(database, patient(1))
    put(database, patient(2))
    items = [{"item": {"reference": "Patient/p1"}}, {"item": {"reference": "Device/p2"}}]
    put(database, {"resourceType": "List", "id": "l", "entry": items})
    with database.read() as connection:
        assert found(connection, "Patient?_list=l") == ["p1"]
        assert found(connection, "Patient?_list=other,l&active:missing=true") == ["p1"]
        assert found(connection, "Patient?_list=other") == []
    with pytest.raises(InvalidRequest, match="functional"):
        query_of("Patient?_list=$current-problems")


ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
VALUE_SET = "http://hl7.org/fhir/ValueSet"


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("Patient?gender:in=http://vs", "value set is not known here"),
        (f"Patient?gender:not-in={VALUE_SET}/administrative-gender|5.0.0", "not known here"),
        ("Encounter?class:below=http://loinc.org|1-8", "hierarchy of its codes is not known here"),
        ("Encounter?class:above=AMB", "no code with its system"),
        (f"Encounter?class:below={ACT_CODE}|", "no code with its system"),
        ("Encounter?class:in=", "not understood|no value"),
        ("Encounter?_id:in=http://vs", "no such modifier"),
        ("Encounter?patient:in=http://vs", "no such modifier"),
    ],
)
def test_terminology_that_is_not_known_is_refused_and_says_so(address: str, why: str) -> None:
    with pytest.raises(InvalidRequest, match=why):
        query_of(address, now=datetime.now(UTC))


def test_codes_are_found_by_their_value_set_and_hierarchy(database: Database) -> None:
    for id_, code in (("acute", "ACUTE"), ("inpatient", "IMP"), ("walk-in", "AMB")):
        class_ = {"system": ACT_CODE, "code": code}
        put(database, {"resourceType": "Encounter", "id": id_, "class": class_})
    put(database, {"resourceType": "Encounter", "id": "ours", "class": {"code": "IMP"}})
    put(database, {"resourceType": "Encounter", "id": "none"})
    put(database, patient(1, gender="female"))
    put(database, patient(2))
    with database.read() as connection:

        def asked(address: str) -> set[str]:
            return set(found(connection, address))

        assert asked(f"Encounter?class:below={ACT_CODE}|IMP") == {"acute", "inpatient"}
        assert asked(f"Encounter?class:above={ACT_CODE}|ACUTE") == {"acute", "inpatient"}
        assert asked(f"Encounter?class:below={ACT_CODE}|ACUTE,{ACT_CODE}|AMB") == {
            "acute",
            "walk-in",
        }
        in_set = f"{VALUE_SET}/v3-ActEncounterCode".replace("hl7.org/fhir", "terminology.hl7.org")
        assert asked(f"Encounter?class:in={in_set}") == {"acute", "inpatient", "walk-in"}
        assert asked(f"Encounter?class:not-in={in_set}") == {"ours", "none"}
        gender = f"{VALUE_SET}/administrative-gender"
        assert asked(f"Patient?gender:in={gender}") == {"p1"}
        assert asked(f"Patient?gender:in={gender}|4.0.1") == {"p1"}
        assert asked(f"Patient?gender:not-in={gender}") == {"p2"}
        assert asked(f"Encounter?class:in={VALUE_SET}/observation-codes") == set()


def chart(database: Database) -> None:
    """Two patients, a visit of each at one organization, and a study of each visit."""
    put(database, {"resourceType": "Organization", "id": "o"})
    for number in (1, 2):
        subject = {"reference": f"Patient/p{number}"}
        put(database, patient(number, managingOrganization={"reference": "Organization/o"}))
        put(database, {"resourceType": "Encounter", "id": f"e{number}", "subject": subject})
        encounter = {"reference": f"Encounter/e{number}"}
        study_ = {"resourceType": "ImagingStudy", "id": f"s{number}"}
        put(database, {**study_, "subject": subject, "encounter": encounter})


def with_matches(
    connection: Connection, address: str, *, limit: int = 100, only_patient: str | None = None
) -> tuple[list[str], bool]:
    restrictions = {} if only_patient is None else {"Patient": (id_is(only_patient),)}
    query = query_of(address)
    matches = search.search(connection, query, restrictions=restrictions).matches
    rows, truncated = included(connection, query, matches, limit=limit, restrictions=restrictions)
    return [row.reference for row in rows], truncated


def id_is(id_: str) -> Criterion:
    (criterion,) = query_of(f"Patient?_id={id_}").criteria
    assert isinstance(criterion, Criterion)
    return criterion


def test_includes_come_once_and_only_iterate_goes_on(database: Database) -> None:
    chart(database)
    with database.read() as connection:
        assert with_matches(connection, "ImagingStudy?_include=ImagingStudy:patient") == (
            ["Patient/p1", "Patient/p2"],
            False,
        )
        once = "ImagingStudy?_id=s1&_include=ImagingStudy:patient&_include=Patient:organization"
        assert with_matches(connection, once)[0] == ["Patient/p1"]
        again = once.replace("&_include=Patient", "&_include:iterate=Patient")
        assert with_matches(connection, again)[0] == ["Patient/p1", "Organization/o"]
        both = "Encounter?_revinclude=ImagingStudy:encounter&_include=Encounter:*"
        assert sorted(with_matches(connection, both)[0]) == [
            "ImagingStudy/s1",
            "ImagingStudy/s2",
            "Patient/p1",
            "Patient/p2",
        ]


def test_includes_end_at_their_limit_and_say_so(database: Database) -> None:
    chart(database)
    with database.read() as connection:
        address = "ImagingStudy?_include=*"
        assert len(with_matches(connection, address, limit=4)[0]) == 4
        assert with_matches(connection, address, limit=4)[1] is False
        assert with_matches(connection, address, limit=3)[1] is True


def test_what_a_restriction_hides_is_hidden_on_every_hop(database: Database) -> None:
    chart(database)
    restrictions = {"Patient": (id_is("p1"),)}
    with database.read() as connection:

        def visible(address: str) -> list[str]:
            page = search.search(connection, query_of(address), restrictions=restrictions)
            return [match.id for match in page.matches]

        assert visible("Patient") == ["p1"]
        assert visible("ImagingStudy?patient.organization=o") == ["s1"]
        assert visible("Organization?_has:Patient:organization:_id=p2") == []
        assert visible("Organization?_has:Patient:organization:_id=p1") == ["o"]
        address = "ImagingStudy?_include=ImagingStudy:patient"
        assert with_matches(connection, address, only_patient="p1")[0] == ["Patient/p1"]


def test_a_search_that_takes_too_long_is_stopped(database: Database) -> None:
    endless = {
        "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
        "SELECT count(*) FROM n",
        "postgresql": "SELECT pg_sleep(60)",
    }
    with database.read() as connection:
        statement = text(endless[connection.dialect.name])
        with pytest.raises(SearchTooCostly), search.limited(connection, 0.2):
            connection.execute(statement).all()
    with database.read() as connection, search.limited(connection, 0.2):
        assert found(connection, "Patient") == []


def test_replacing_entries_leaves_exactly_the_new_ones(database: Database) -> None:
    rid = put(database, patient(1, gender="male", name=[{"family": "A"}, {"family": "B"}]))
    for content in (
        patient(1, gender="male", name=[{"family": "B"}, {"family": "C"}], birthDate="2001"),
        patient(1, gender="female", link=[{"other": {"reference": "Patient/p2"}}]),
        patient(1),
    ):
        entries = index_entries("Patient", content)
        database.write(lambda t, e=entries: search_index.replace(t, rid, "Patient", e))  # type: ignore[misc]
        with database.read() as connection:
            assert rows_of(connection, rid) == sorted(
                str(search_index.row_of("Patient", entry)[1]) for entry in entries
            )


def rows_of(connection: Connection, rid: int) -> list[str]:
    found_rows = []
    for table in INDEX_TABLES:
        columns = [table.c[name] for name in search_index.COLUMNS[table]]
        rows = connection.execute(select(*columns).where(table.c.rid == rid))
        found_rows += [str(tuple(row)) for row in rows]
    return sorted(found_rows)


def test_a_common_value_is_found_without_looking_it_up_whole(database: Database) -> None:
    def fill(transaction: Transaction) -> None:
        numbers = range(1, 2_200)
        rows = [
            {"rid": n, "type": "Patient", "id": f"p{n}", "version": 1, "last_updated": n,
             "deleted": False, "body": b"{}"}
            for n in numbers
        ]  # fmt: skip
        token = {"parameter": "Patient.gender", "value": "other", "folded": "other"}
        transaction.execute(insert(resource), rows)
        transaction.execute(insert(token_index), [{**token, "rid": n} for n in numbers])

    database.write(fill)
    with database.read() as connection:
        query = query_of("Patient?gender=other&_count=1000&_total=accurate")
        page = search.search(connection, query)
        assert (page.total, len(page.matches)) == (2_199, 1_000)
        assert len(all_pages(connection, query)) == 2_199


def test_a_relationship_is_found_by_both_its_parts_in_one_repeat(database: Database) -> None:
    relates_to = [
        {"code": "replaces", "target": {"reference": "DocumentReference/a"}},
        {"code": "appends", "target": {"reference": "DocumentReference/b"}},
    ]
    put(database, {"resourceType": "DocumentReference", "id": "d", "relatesTo": relates_to})
    with database.read() as connection:
        absolute = f"{BASE}/DocumentReference/a$replaces"
        for text_ in ("a$replaces", "DocumentReference/b$appends", absolute):
            assert found(connection, f"DocumentReference?relationship={text_}") == ["d"]
        assert found(connection, "DocumentReference?relationship=a$appends") == []
        assert found(connection, "DocumentReference?relationship=A$replaces") == []
        for text_ in ("a", "a$b$c", "$replaces", "a$"):
            with pytest.raises(InvalidRequest):
                query_of(f"DocumentReference?relationship={text_}")
        with pytest.raises(InvalidRequest):
            query_of("DocumentReference?_sort=relationship")


def test_a_resource_of_the_same_id_and_another_type_is_not_meant(database: Database) -> None:
    put(database, patient(1, gender="other"))
    put(database, {"resourceType": "Device", "id": "p1", "status": "active"})
    reference = {"reference": "Device/p1"}
    content = {"resourceType": "DocumentReference", "id": "d", "status": "current"}
    put(database, {**content, "subject": reference})
    with database.read() as connection:
        has = "_has:DocumentReference:subject:status=current"
        for more in ("", "&_id=p1"):
            assert found(connection, f"Patient?{has}{more}") == []
            assert found(connection, f"Device?{has}{more}") == ["p1"]
        assert found(connection, "DocumentReference?subject:Patient.gender=other") == []
        assert found(connection, "DocumentReference?subject:Patient.gender=other&_id=d") == []
        assert found(connection, "DocumentReference?subject:Device.status=active&_id=d") == ["d"]
        assert found(connection, "DocumentReference?subject=Patient/p1") == []
        assert found(connection, "DocumentReference?subject=p1") == ["d"]
        address = "DocumentReference?_include=DocumentReference:subject"
        assert with_matches(connection, address) == (["Device/p1"], False)
        address = "Patient?_revinclude=DocumentReference:subject"
        assert with_matches(connection, address) == ([], False)


def test_a_reference_value_without_a_type_finds_any_type(database: Database) -> None:
    put(database, {"resourceType": "Task", "id": "t", "focus": {"reference": "Patient/7"}})
    (criterion,) = query_of("Task?focus=7").criteria
    assert isinstance(criterion, Criterion)
    assert criterion.values == (ReferenceValue(target_type=None, target_id="7"),)
    with database.read() as connection:
        assert found(connection, "Task?focus=7") == ["t"]
