"""Full text on both engines: what they find is what looking at the words finds."""

import random
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import func, select, text

from imaging_fhir.fhir.search_index import index_entries, study_entries
from imaging_fhir.fhir.search_query import parse_query
from imaging_fhir.model.codec import Resource
from imaging_fhir.storage import resources, search, search_index
from imaging_fhir.storage.database import Connection, Database, Transaction
from imaging_fhir.storage.schema import TEXT_MATCH, text_index

BASE = "http://127.0.0.1:8080/fhir"
WORDS = (
    "arm",
    "Ärm",
    "left",
    "right",
    "1e5",
    "5e",
    "12abc",
    "x",
    "ж",
    "жук",
    "胸部",
    "armory",
    "7",
)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    yield database
    database.close()


def put(transaction: Transaction, content: Resource) -> int:
    type_, id_ = content["resourceType"], content["id"]
    return resources.put(transaction, type_, id_, content, index_entries(type_, content)).rid


def found(connection: Connection, address: str, **options: Any) -> set[str]:
    type_, _, rest = address.partition("?")
    pairs = [pair.partition("=")[::2] for pair in rest.split("&")]
    query = parse_query(type_, pairs, base=BASE, strict=True, default_count=1000, **options)
    return {match.id for match in search.search(connection, query).matches}


def listed(id_: str, *titles: str) -> Resource:
    notes = [{"text": title} for title in titles]
    return {"resourceType": "List", "id": id_, "note": notes}


def folded(word: str) -> str:
    return "arm" if word == "Ärm" else word


def test_both_engines_find_what_looking_at_the_words_finds(database: Database) -> None:
    chance = random.Random(4)
    notes = {
        f"l{number}": [
            [chance.choice(WORDS) for _ in range(chance.randrange(1, 5))]
            for _ in range(chance.randrange(1, 4))
        ]
        for number in range(60)
    }

    def put_all(transaction: Transaction) -> None:
        for id_, texts in notes.items():
            put(transaction, listed(id_, *(" - ".join(words) for words in texts)))

    database.write(put_all)

    def there(id_: str, words: list[str], *, begins: bool = False) -> bool:
        """The words in a row within one note, the last one perhaps only a beginning."""
        wanted = [folded(word) for word in words]
        return any(
            said[at : at + len(wanted) - 1] == wanted[:-1]
            and len(said) >= at + len(wanted)
            and (
                said[at + len(wanted) - 1] == wanted[-1]
                or (begins and said[at + len(wanted) - 1].startswith(wanted[-1]))
            )
            for said in ([folded(word) for word in words_] for words_ in notes[id_])
            for at in range(len(said))
        )

    with database.read() as connection:
        sizes = []
        for _ in range(150):
            one, two, other = (chance.choice(WORDS) for _ in range(3))
            asked, expected = chance.choice(
                [
                    (one, {i for i in notes if there(i, [one])}),
                    (f'"{one} {two}"', {i for i in notes if there(i, [one, two])}),
                    (f"{one}*", {i for i in notes if there(i, [one], begins=True)}),
                    (f'"{one} {two}*"', {i for i in notes if there(i, [one, two])}),
                    (
                        f"{one} {two} not {other}",
                        {
                            i
                            for i in notes
                            if there(i, [one]) and there(i, [two]) and not there(i, [other])
                        },
                    ),
                    (
                        f"({one} or {two}) and {other}",
                        {
                            i
                            for i in notes
                            if (there(i, [one]) or there(i, [two])) and there(i, [other])
                        },
                    ),
                    (f"{one},{two}", {i for i in notes if there(i, [one]) or there(i, [two])}),
                ]
            )
            assert found(connection, f"List?_content={asked}") == expected, asked
            sizes.append(len(expected))
    assert sum(0 < size < 60 for size in sizes) > 70


def test_words_are_found_with_other_parameters_in_chains_and_sorted(database: Database) -> None:
    def put_all(transaction: Transaction) -> None:
        for id_, said in (("a", "Fracture of the wrist"), ("b", "No fracture"), ("c", "Bite")):
            put(transaction, {"resourceType": "Patient", "id": id_, "gender": "male"})
            narrative = {"status": "generated", "div": f"<div><p>{said}</p></div>"}
            put(
                transaction,
                {
                    "resourceType": "Observation",
                    "id": f"o{id_}",
                    "text": narrative,
                    "subject": {"reference": f"Patient/{id_}"},
                },
            )

    database.write(put_all)
    with database.read() as connection:
        assert found(connection, "Observation?_text=fracture") == {"oa", "ob"}
        assert found(connection, "Observation?_text=fracture&patient=a") == {"oa"}
        assert found(connection, "Observation?_text=fracture not no&_sort=_id") == {"oa"}
        assert found(connection, "Patient?_has:Observation:patient:_text=bite") == {"c"}
        assert found(connection, "Patient?_text:missing=true") == {"a", "b", "c"}
        assert found(connection, "Patient?_content=male&gender=male") == {"a", "b", "c"}


def test_a_study_is_found_by_words_of_its_series_together(database: Database) -> None:
    def put_study(transaction: Transaction) -> None:
        content = {"resourceType": "ImagingStudy", "id": "s"}
        rid = resources.put(transaction, "ImagingStudy", "s", content, ()).rid
        entries = study_entries({"description": "Skull"}, [{"description": "axial"}])
        search_index.add(transaction, rid, "ImagingStudy", entries)
        entries = study_entries({}, [{"description": "coronal"}])
        search_index.add(transaction, rid, "ImagingStudy", entries)

    database.write(put_study)
    with database.read() as connection:
        assert found(connection, "ImagingStudy?_content=skull axial coronal") == {"s"}
        assert found(connection, "ImagingStudy?_content=skull not coronal") == set()


def test_who_changes_or_deletes_takes_the_words_away(database: Database) -> None:
    database.write(lambda transaction: put(transaction, listed("l", "arm")))
    database.write(lambda transaction: put(transaction, listed("l", "leg")))
    with database.read() as connection:
        assert found(connection, "List?_content=arm") == set()
        assert found(connection, "List?_content=leg") == {"l"}
    database.write(lambda transaction: resources.delete(transaction, "List", "l"))
    with database.read() as connection:
        assert connection.execute(select(func.count()).select_from(text_index)).scalar() == 0
        if database.is_sqlite:
            matches = text(f"SELECT count(*) FROM {TEXT_MATCH} WHERE {TEXT_MATCH} MATCH 'wleg'")  # noqa: S608
            assert connection.execute(matches).scalar() == 0


def test_a_text_of_any_length_is_kept(database: Database) -> None:
    long = " ".join(f"{number:x}" for number in range(40_000)) + " " + "z" * 100_000
    database.write(lambda transaction: put(transaction, listed("l", long, "胸" * 5_000)))
    with database.read() as connection:
        assert found(connection, 'List?_content="1f40 1f41"') == {"l"}
