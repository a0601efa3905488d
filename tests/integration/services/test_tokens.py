"""Tokens of an issuer in another process: its keys change, it falls silent, it is asked."""

from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import pytest

from imaging_fhir.errors import InvalidSetting, IssuerUnavailable, Unauthenticated
from imaging_fhir.services import issuer_keys
from imaging_fhir.services.doctor_issuers import states_of_issuers
from imaging_fhir.services.token_composition import tokens_of
from imaging_fhir.services.tokens import Tokens
from imaging_fhir.settings import Settings, Site
from tests.foreign_issuer import CLIENT, Peer, foreign_issuer
from tests.tokens import BASE

ADDRESS = "192.0.2.1"


@pytest.fixture(scope="module")
def process() -> Iterator[Peer]:
    with foreign_issuer() as peer:
        yield peer


@pytest.fixture
def peer(process: Peer) -> Peer:
    process.post("/up")
    return process


def tokens(folder: Path, peer: Peer, more: str = "") -> Tokens:
    site = folder / "site.toml"
    site.write_text(f'[[token_issuers]]\nissuer = "{peer.address}"\n{more}')
    settings = Settings(auth="smart", public_url="https://images.example", site_file=str(site))
    found = tokens_of(settings, Site.from_file(settings.site_file))
    assert found is not None
    return found


def test_keys_are_found_by_discovery_and_asked_for_once(tmp_path: Path, peer: Peer) -> None:
    here = tokens(tmp_path, peer)
    before = peer.asked("/jwks")
    token = peer.token(patient="p1", scope="patient/*.rs", fhirUser="Practitioner/7")
    threads = [Thread(target=here.caller, args=(token, str(n))) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    caller = here.caller(token, ADDRESS)
    assert (caller.issuer, caller.subject, caller.patient) == (peer.address, "dr-lee", "p1")
    assert (caller.fhir_user, caller.address, caller.token_id) == (
        "Practitioner/7",
        ADDRESS,
        "token-1",
    )
    assert peer.asked("/jwks") == before + 1


def test_keys_that_change_under_load_fail_no_request(tmp_path: Path, peer: Peer) -> None:
    here, over = tokens(tmp_path, peer), Event()
    judged, failed = [0, 0, 0], list[Exception]()

    def load(number: int) -> None:
        while not over.is_set():
            try:
                here.caller(peer.token(jti=f"{number}-{judged[number]}"), ADDRESS)
                judged[number] += 1
            except Exception as error:
                failed.append(error)

    threads = [Thread(target=load, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(4):
        reached = [count + 4 for count in judged]
        while not failed and any(
            count < wanted for count, wanted in zip(judged, reached, strict=True)
        ):
            over.wait(0.01)
        peer.post("/rotate")
    over.set()
    for thread in threads:
        thread.join()
    assert failed == []
    assert min(judged) >= 16


def test_unknown_keys_do_not_make_it_ask_again_and_again(tmp_path: Path, peer: Peer) -> None:
    here = tokens(tmp_path, peer)
    here.caller(peer.token(), ADDRESS)
    [issuer] = here.issuers.values()
    keys = issuer.judge.keys  # type: ignore[attr-defined]
    now = keys.clock()
    keys.clock = lambda: now
    before = peer.asked("/jwks")
    for number in range(50):
        with pytest.raises(Unauthenticated):
            here.caller(peer.token(header={"kid": f"unknown-{number}"}), ADDRESS)
    assert peer.asked("/jwks") == before + issuer_keys.MOST_ASKED - 1
    keys.clock = lambda: now + issuer_keys.IN_SECONDS
    peer.post("/rotate")
    here.caller(peer.token(jti="new"), ADDRESS)


def test_keys_outlive_their_issuer_for_a_while(tmp_path: Path, peer: Peer) -> None:
    here = tokens(tmp_path, peer, f'jwks_url = "{peer.address}/jwks"')
    first, later = peer.token(), peer.token(jti="later")
    here.caller(first, ADDRESS)
    [issuer] = here.issuers.values()
    keys = issuer.judge.keys  # type: ignore[attr-defined]
    peer.post("/down")
    now = keys.clock()
    keys.clock = lambda: now + issuer_keys.FRESH_SECONDS + 1
    assert here.caller(later, ADDRESS).token_id == "later"
    keys.clock = lambda: now + issuer_keys.KEPT_SECONDS + 1
    with pytest.raises(IssuerUnavailable):
        here.caller(peer.token(jti="too late"), ADDRESS)
    assert here.caller(first, ADDRESS).token_id == "token-1"


def test_an_issuer_that_never_answered_is_no_wrong_token(tmp_path: Path, peer: Peer) -> None:
    peer.post("/down")
    here = tokens(tmp_path, peer)
    for _ in range(3):
        with pytest.raises(IssuerUnavailable):
            here.caller(peer.token(), ADDRESS)


@pytest.fixture
def introspection(peer: Peer, tmp_path: Path) -> str:
    (tmp_path / "secret").write_text(f"{CLIENT[1]}\n")
    return (
        f'introspection_url = "{peer.address}/introspect"\nclient_id = "{CLIENT[0]}"\n'
        f'client_secret_file = "{tmp_path}/secret"\n'
    )


def test_an_opaque_token_is_asked_about_and_remembered(
    tmp_path: Path, peer: Peer, introspection: str
) -> None:
    here = tokens(tmp_path, peer, introspection)
    known = {"scope": "patient/ImagingStudy.rs", "client_id": "app", "exp": 4_000_000_000}
    peer.post("/opaque", {"abc": known | {"patient": "p1", "sub": "x", "iss": peer.address}})
    before = peer.asked("/introspect")
    for _ in range(10):
        caller = here.caller("abc", ADDRESS)
    assert (caller.patient, caller.client_id, len(caller.scopes)) == ("p1", "app", 1)
    assert peer.asked("/introspect") == before + 1
    for _ in range(10):
        with pytest.raises(Unauthenticated):
            here.caller("unknown", ADDRESS)
    assert peer.asked("/introspect") == before + 2
    now = here.clock()
    here.clock = lambda: now + 31
    peer.post("/opaque", {"abc": None})
    with pytest.raises(Unauthenticated):
        here.caller("abc", ADDRESS)


@pytest.mark.parametrize(
    "claims",
    [
        {"active": "true"},
        {"iss": "https://other.example"},
        {"aud": "https://other.example"},
        {"exp": 1},
        {"exp": "tomorrow"},
        {"client_id": None, "sub": None},
    ],
    ids=str,
)
def test_an_answer_that_does_not_fit_opens_nothing(
    tmp_path: Path, peer: Peer, introspection: str, claims: dict[str, object]
) -> None:
    here = tokens(tmp_path, peer, introspection)
    peer.post("/opaque", {"odd": {"client_id": "app", "exp": 4_000_000_000, "aud": BASE} | claims})
    with pytest.raises(Unauthenticated):
        here.caller("odd", ADDRESS)


def test_an_issuer_that_cannot_be_asked_is_no_wrong_token(
    tmp_path: Path, peer: Peer, introspection: str
) -> None:
    here = tokens(tmp_path, peer, introspection)
    (tmp_path / "secret").write_text("another")
    with pytest.raises(IssuerUnavailable):
        here.caller("abc", ADDRESS)
    peer.post("/down")
    with pytest.raises(IssuerUnavailable):
        here.caller("abc", ADDRESS)
    (tmp_path / "secret").write_text("")
    with pytest.raises(InvalidSetting):
        tokens(tmp_path, peer, introspection)


def test_a_system_client_gets_what_the_site_file_lets_it(tmp_path: Path, peer: Peer) -> None:
    clients = (
        f'[[system_clients]]\nissuer = "{peer.address}"\nclient_id = "ai"\npatients = ["p1"]\n'
        f'[[system_clients]]\nissuer = "{peer.address}"\nclient_id = "pacs"\neverything = true\n'
        '[[system_clients]]\nissuer = "https://a.example"\nclient_id = "app"\neverything = true\n'
    )
    here = tokens(tmp_path, peer, clients)
    scope = "system/ImagingStudy.rs user/Patient.rs"
    reached = here.caller(peer.token(client_id="ai", scope=scope), ADDRESS)
    assert (reached.patients, reached.studies) == (frozenset({"p1"}), frozenset())
    reached = here.caller(peer.token(client_id="pacs", scope=scope), ADDRESS)
    assert reached.patients is None
    assert len(reached.scopes) == 2
    unknown = here.caller(peer.token(client_id="app", scope=scope), ADDRESS)
    assert [one.context for one in unknown.scopes] == ["user"]


def test_doctor_says_whether_the_issuers_answer(
    tmp_path: Path, peer: Peer, introspection: str
) -> None:
    def said(more: str = "") -> tuple[str, bool]:
        tokens(tmp_path, peer, more)
        settings = Settings(auth="smart", site_file=str(tmp_path / "site.toml"))
        [(name, message, is_well)] = states_of_issuers(settings)
        assert name == peer.address
        return message, is_well

    message, is_well = said()
    assert message.endswith("keys")
    assert is_well
    assert said(introspection) == ("it is asked about each token", True)
    (tmp_path / "secret").write_text("another")
    assert not said(introspection)[1]
    peer.post("/down")
    assert not said()[1]
    assert list(states_of_issuers(Settings())) == []


def test_what_is_remembered_is_bounded_and_ends_with_the_token(tmp_path: Path, peer: Peer) -> None:
    here = tokens(tmp_path, peer)
    here.most = 3
    found = [peer.token(jti=str(number)) for number in range(5)]
    for token in found:
        here.caller(token, ADDRESS)
    assert len(here.remembered) == 3
    now = here.clock()
    here.clock = lambda: now + 700
    with pytest.raises(Unauthenticated, match="expired"):
        here.caller(found[-1], ADDRESS)
