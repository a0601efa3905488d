"""The client, against an EHR with the habits of those on the market."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwk, jwt

from imaging_fhir.ehr.breaker import Breaker
from imaging_fhir.ehr.client import Ehr, open_ehr
from imaging_fhir.ehr.deadline import Deadline
from imaging_fhir.ehr.transport import Transport
from imaging_fhir.errors import EhrUnavailable, InvalidSetting
from imaging_fhir.settings import Settings
from tests.odd_ehr import OddEhr

HOSPITAL = "urn:oid:1.2.3"


def soon() -> Deadline:
    return Deadline(2.0)


@pytest.fixture
def ehr(odd_ehr: OddEhr) -> Iterator[Ehr]:
    odd_ehr.patient("p1", "100", system=HOSPITAL, name=[{"family": "Berg"}])
    odd_ehr.patient("p2", "200", system=HOSPITAL)
    client = Ehr(odd_ehr.base, Transport())
    yield client
    client.close()


def visit(id_: str, patient: str, start: str, end: str = "") -> dict[str, Any]:
    period = {"start": start} | ({"end": end} if end else {})
    return {
        "resourceType": "Encounter",
        "id": id_,
        "status": "finished",
        "class": {"code": "AMB"},
        "subject": {"reference": f"Patient/{patient}"},
        "period": period,
        "identifier": [],
    }


def ids(resources: list[dict[str, Any]]) -> list[str]:
    return [one["id"] for one in resources]


def test_a_patient_is_found_by_number_and_system(ehr: Ehr) -> None:
    assert ids(ehr.by_identifier("Patient", HOSPITAL, "100", soon())) == ["p1"]
    assert ehr.by_identifier("Patient", HOSPITAL, "999", soon()) == []
    assert ehr.by_identifier("Patient", "urn:oid:9", "100", soon()) == []


def test_one_that_ignores_the_number_finds_nobody_by_it(ehr: Ehr, odd_ehr: OddEhr) -> None:
    odd_ehr.fits = lambda resource, name, value: True  # type: ignore[method-assign]
    assert ids(ehr.by_identifier("Patient", HOSPITAL, "100", soon())) == ["p1"]


def test_special_characters_are_escaped(ehr: Ehr, odd_ehr: OddEhr) -> None:
    odd_ehr.patient("p3", "a,b", system=HOSPITAL)
    assert ids(ehr.by_identifier("Patient", HOSPITAL, "a,b", soon())) == ["p3"]
    assert odd_ehr.asked[-1].endswith("%7Ca%5C%2Cb")


def test_the_capability_statement_is_read_once(ehr: Ehr, odd_ehr: OddEhr) -> None:
    for _ in range(3):
        ehr.by_identifier("Patient", HOSPITAL, "100", soon())
    assert odd_ehr.asked.count("metadata") == 1


def test_what_is_not_declared_is_not_asked(ehr: Ehr, odd_ehr: OddEhr) -> None:
    odd_ehr.searches = {"Patient": ["identifier"], "Encounter": ["patient"]}
    odd_ehr.put(visit("e1", "p1", "2026-03-01T08:00:00Z", "2026-03-02T08:00:00Z"))
    assert ehr.by_identifier("ServiceRequest", HOSPITAL, "1", soon()) == []
    assert ids(ehr.encounters("p1", "2026-03-01", "2026-03-02", soon())) == ["e1"]
    assert odd_ehr.asked == ["metadata", "Encounter?patient=p1&_count=100"]


def test_no_search_for_patients_is_said(ehr: Ehr, odd_ehr: OddEhr) -> None:
    odd_ehr.searches = {"Patient": ["name"]}
    with pytest.raises(EhrUnavailable, match="no search for Patient"):
        ehr.by_identifier("Patient", HOSPITAL, "100", soon())


def test_a_search_that_is_forbidden_counts_as_not_offered(ehr: Ehr, odd_ehr: OddEhr) -> None:
    odd_ehr.forbidden = frozenset({"ServiceRequest"})
    for _ in range(3):
        assert ehr.by_identifier("ServiceRequest", HOSPITAL, "1", soon()) == []
    assert len(odd_ehr.searches_for("ServiceRequest")) == 1


def test_patients_that_are_forbidden_are_not_unknown(ehr: Ehr, odd_ehr: OddEhr) -> None:
    odd_ehr.forbidden = frozenset({"Patient"})
    with pytest.raises(EhrUnavailable, match="refuses us"):
        ehr.by_identifier("Patient", HOSPITAL, "100", soon())


def test_visits_of_all_pages_are_found_by_day(ehr: Ehr, odd_ehr: OddEhr) -> None:
    for number in range(5):
        odd_ehr.put(visit(f"e{number}", "p1", f"2026-03-0{number + 1}T08:00:00Z"))
    odd_ehr.put(visit("other", "p2", "2026-03-01T08:00:00Z"))
    elsewhere = visit("elsewhere", "p1", "2026-03-01T08:00:00Z")
    odd_ehr.put(elsewhere | {"subject": {"reference": "https://other.example/fhir/Patient/p1"}})
    assert ids(ehr.encounters("p1", "2026-03-01", "2026-03-05", soon())) == [
        *("e0", "e1", "e2", "e3")
    ]


def test_what_is_gone_is_none(ehr: Ehr) -> None:
    found = ehr.read("Patient", "p1", soon())
    assert found is not None
    assert found["name"] == [{"family": "Berg"}]
    assert ehr.read("Patient", "nobody", soon()) is None


@pytest.mark.parametrize("mode", ["error", "rubbish", "outcome", "huge"])
def test_what_is_no_answer_is_no_miss(ehr: Ehr, odd_ehr: OddEhr, mode: str) -> None:
    ehr.capability(soon())
    odd_ehr.mode = mode
    with pytest.raises(EhrUnavailable):
        ehr.by_identifier("Patient", HOSPITAL, "100", soon())
    with pytest.raises(EhrUnavailable):
        ehr.read("Patient", "p1", soon())


@pytest.mark.parametrize("mode", ["hang", "trickle"])
def test_a_look_up_ends_when_its_time_is_over(ehr: Ehr, odd_ehr: OddEhr, mode: str) -> None:
    ehr.capability(soon())
    odd_ehr.mode = mode
    begun = time.monotonic()
    with pytest.raises(EhrUnavailable):
        ehr.by_identifier("Patient", HOSPITAL, "100", Deadline(0.5))
    assert time.monotonic() - begun < 1.5


def test_an_ehr_that_is_stopped_says_nothing_of_the_patient(
    ehr: Ehr, odd_ehr: OddEhr, caplog: pytest.LogCaptureFixture
) -> None:
    ehr.capability(soon())
    odd_ehr.stop()
    with pytest.raises(EhrUnavailable) as caught:
        ehr.by_identifier("Patient", HOSPITAL, "1234567", soon())
    assert "1234567" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert "1234567" not in caplog.text


def test_a_busy_ehr_is_asked_again_when_it_wants(ehr: Ehr, odd_ehr: OddEhr) -> None:
    ehr.capability(soon())
    odd_ehr.mode, odd_ehr.retry_after = "error", "1"
    threading.Timer(0.3, setattr, (odd_ehr, "mode", "well")).start()
    begun = time.monotonic()
    assert ids(ehr.by_identifier("Patient", HOSPITAL, "100", Deadline(5))) == ["p1"]
    assert 1.0 <= time.monotonic() - begun < 3
    assert len(odd_ehr.searches_for("Patient")) == 2


def test_it_is_not_waited_for_longer_than_there_is_time(ehr: Ehr, odd_ehr: OddEhr) -> None:
    ehr.capability(soon())
    odd_ehr.mode, odd_ehr.retry_after = "error", "60"
    begun = time.monotonic()
    with pytest.raises(EhrUnavailable, match="503"):
        ehr.by_identifier("Patient", HOSPITAL, "100", soon())
    assert time.monotonic() - begun < 0.5


def test_after_some_failures_it_is_left_alone_and_then_tried_once(odd_ehr: OddEhr) -> None:
    clock = Clock()
    ehr = Ehr(odd_ehr.base, Transport(breaker=Breaker(failures=2, seconds=10, clock=clock)))
    odd_ehr.patient("p1", "100", system=HOSPITAL)
    ehr.capability(soon())
    odd_ehr.mode = "error"
    for _ in range(4):
        with pytest.raises(EhrUnavailable):
            ehr.read("Patient", "p1", soon())
    asked = len(odd_ehr.asked)
    assert asked == 1 + 2 * 3  # each of two tried three times; then nothing was asked
    odd_ehr.mode, clock.now = "well", 11
    assert ehr.read("Patient", "p1", soon())
    assert not ehr.transport.breaker.is_open
    ehr.close()


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_during_the_trial_the_others_are_refused() -> None:
    clock = Clock()
    breaker = Breaker(failures=1, seconds=10, clock=clock)
    with pytest.raises(EhrUnavailable), breaker.attempt():
        raise EhrUnavailable("It failed.")
    clock.now = 11
    with breaker.attempt(), pytest.raises(EhrUnavailable, match="left alone"):
        breaker.admit()
    breaker.admit()


def settings(odd_ehr: OddEhr, **more: Any) -> Settings:
    return Settings(ehr_url=odd_ehr.base, **more)


def opened(settings_: Settings) -> Ehr:
    ehr = open_ehr(settings_)
    assert ehr is not None
    return ehr


def test_a_token_is_got_by_a_signed_assertion_and_kept(odd_ehr: OddEhr, tmp_path: Path) -> None:
    key = jwk.RSAKey.generate_key(2048)
    (tmp_path / "key.pem").write_bytes(key.as_pem(private=True))
    odd_ehr.token = "first"
    ehr = opened(
        settings(
            odd_ehr,
            ehr_auth="private_key_jwt",
            ehr_client_id="imaging",
            ehr_key_file=str(tmp_path / "key.pem"),
        )
    )
    odd_ehr.patient("p1", "100", system=HOSPITAL)
    assert ehr.read("Patient", "p1", soon())
    assert ehr.read("Patient", "p1", soon())
    (asked,) = odd_ehr.tokens_asked
    assert asked["grant_type"] == "client_credentials"
    assert "system/Patient.rs" in asked["scope"]
    claims = jwt.decode(asked["client_assertion"], key, algorithms=["RS384"]).claims
    assert (claims["iss"], claims["sub"]) == ("imaging", "imaging")
    assert claims["aud"] == f"{odd_ehr.base}/token"
    assert claims["exp"] - claims["iat"] <= 300
    odd_ehr.token = "second"  # the first is withdrawn: a new one is got at once
    assert ehr.read("Patient", "p1", soon())
    assert len(odd_ehr.tokens_asked) == 2
    ehr.close()


def test_a_bearer_token_comes_from_a_file(odd_ehr: OddEhr, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret-of-ours\n")
    odd_ehr.token = "secret-of-ours"
    given = settings(odd_ehr, ehr_auth="bearer", ehr_secret_file=str(tmp_path / "token"))
    ehr = opened(given)
    assert ehr.capability(soon()).declares("Patient", "identifier")
    ehr.close()


def test_a_wrong_token_is_said(odd_ehr: OddEhr) -> None:
    odd_ehr.token = "right"
    ehr = opened(settings(odd_ehr, ehr_auth="bearer", ehr_secret="wrong"))
    with pytest.raises(EhrUnavailable, match="401"):
        ehr.capability(soon())
    ehr.close()


def test_no_secret_is_shown_by_the_settings(odd_ehr: OddEhr) -> None:
    given = settings(odd_ehr, ehr_auth="basic", ehr_client_id="us", ehr_secret="hidden")
    assert "hidden" not in repr(given)


@pytest.mark.parametrize(
    "wrong",
    [
        {"ehr_auth": "magic"},
        {"ehr_auth": "basic", "ehr_client_id": "us"},
        {"ehr_auth": "private_key_jwt", "ehr_client_id": "us"},
        {"ehr_url": "ftp://ehr.example"},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(InvalidSetting):
        Settings(**{"ehr_url": "https://ehr.example/r4", **wrong})  # type: ignore[arg-type]


def test_a_key_that_is_none_is_refused(odd_ehr: OddEhr, tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text("no key")
    with pytest.raises(InvalidSetting, match="no key can be read"):
        open_ehr(
            settings(
                odd_ehr,
                ehr_auth="private_key_jwt",
                ehr_client_id="us",
                ehr_key_file=str(tmp_path / "key.pem"),
            )
        )
