"""Several clients at once on the production server: nothing acknowledged is ever missing."""

import random
import threading
from typing import Any

import pytest
from PIL.ExifTags import Base

from tests.e2e.sent import Account, Sent, at_once, batches, instance_of, send, shares, study_of
from tests.e2e.server import Server
from tests.samples import raster

SERIES, INSTANCES = 4, 250
Resource = dict[str, Any]


def listed(study: Resource) -> list[str]:
    return [one["uid"] for series in study.get("series", []) for one in series.get("instance", [])]


def by_search(server: Server, uid: str) -> Resource | None:
    bundle = server.fhir(f"ImagingStudy?identifier=urn:dicom:uid|urn:oid:{uid}")
    matches = [entry["resource"] for entry in bundle.get("entry", [])]
    assert len(matches) < 2
    return matches[0] if matches else None


class Reader(threading.Thread):
    """Reads the study again and again, by id and by search, while it comes in."""

    def __init__(self, server: Server, uid: str, account: Account) -> None:
        super().__init__()
        self.server, self.uid, self.account = server, uid, account
        self.over = threading.Event()
        self.reads = 0
        self.faults: list[str] = []

    def run(self) -> None:
        while not self.over.is_set():
            try:
                self.look()
            except Exception as error:
                self.faults.append(repr(error))

    def look(self) -> None:
        acknowledged = self.account.uids()
        study = by_search(self.server, self.uid)
        self.compare(study, acknowledged)
        acknowledged = self.account.uids()
        if acknowledged:
            self.compare(self.server.fhir(f"ImagingStudy/{self.uid}"), acknowledged)
            self.reads += 1

    def compare(self, study: Resource | None, acknowledged: set[str]) -> None:
        found = listed(study or {})
        if missing := acknowledged - set(found):
            self.faults.append(f"{len(missing)} of {len(acknowledged)} are missing")
        if study is not None and study["numberOfInstances"] != len(found):
            self.faults.append(f"{study['numberOfInstances']} said, {len(found)} listed")


@pytest.fixture(scope="module")
def sent() -> list[Sent]:
    return study_of("71", series=SERIES, instances=INSTANCES)


def test_a_study_from_four_clients_is_whole_at_every_moment(
    server: Server, sent: list[Sent]
) -> None:
    account, uid = Account(), sent[0].study

    def upload(share: list[Sent], chance: random.Random) -> None:
        for batch in batches(share, chance):
            send(server, batch, chance)
            account.add(batch)

    reader = Reader(server, uid, account)
    reader.start()
    try:
        at_once(upload, shares(sent, random.Random(71)))
    finally:
        reader.over.set()
        reader.join()
    assert reader.faults == []
    assert reader.reads > 10
    require_whole(server.fhir(f"ImagingStudy/{uid}"), sent)
    assert by_search(server, uid) == server.fhir(f"ImagingStudy/{uid}")


def require_whole(study: Resource, sent: list[Sent]) -> None:
    assert study["numberOfSeries"] == SERIES
    assert study["numberOfInstances"] == SERIES * INSTANCES
    assert [series["number"] for series in study["series"]] == list(range(1, SERIES + 1))
    assert [series["numberOfInstances"] for series in study["series"]] == [INSTANCES] * SERIES
    assert listed(study) == [one.instance for one in sent]
    numbers = [one["number"] for series in study["series"] for one in series["instance"]]
    assert numbers == [one.number for one in sent]


def test_sending_a_study_again_changes_nothing(server: Server, sent: list[Sent]) -> None:
    before = server.fhir(f"ImagingStudy/{sent[0].study}")
    statuses = server.import_files(*(one.content for one in sent[:100]))
    assert statuses == [200] * 100
    assert server.fhir(f"ImagingStudy/{sent[0].study}") == before


def test_an_image_is_in_the_first_search_after_its_answer(server: Server) -> None:
    """Under the load of four clients that do so at once, each with studies and photos."""
    patient = server.post_fhir({"resourceType": "Patient"}, "/fhir/Patient").json()["id"]

    def upload(share: list[Sent], chance: random.Random) -> None:
        for sent in share:
            send(server, [sent], chance)
            found = by_search(server, sent.study)
            assert found is not None
            assert sent.instance in listed(found)
            photo = raster("JPEG", exif={Base.ImageDescription: f"Photo {sent.study}"})
            path = f"/fhir/$import-image?patient=Patient/{patient}"
            entry = server.import_image(photo, path).json()["entry"][0]["response"]
            location = entry["location"].removeprefix(f"{server.base}/")
            documents = server.fhir(f"DocumentReference?patient={patient}&_count=1000")
            ids = {entry["resource"]["id"] for entry in documents["entry"]}
            assert location.removeprefix("DocumentReference/") in ids

    studies = [instance_of(f"72.{number}", 1, 1) for number in range(48)]
    at_once(upload, shares(studies, random.Random(72)))
