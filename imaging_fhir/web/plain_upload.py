"""One DICOM object by STOW-RS, or one file by `$import-image`: the uploads of every modality and
gateway, taken in before Flask, which costs as much as a tenth of all that is done for an image.

It answers only what was taken in well, on a server without authentication and without an audit
trail. All else is Flask's, with what has been taken in by then: the same policy is asked, and the
answer is the same to the byte.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from time import perf_counter
from typing import IO, Any, Protocol, TypeVar

from werkzeug.exceptions import ClientDisconnected

from imaging_fhir.dicomweb.media_type import (
    DICOM,
    DICOM_JSON,
    RELATED,
    data_set_type,
    media_ranges,
)
from imaging_fhir.dicomweb.multipart import split_media_type
from imaging_fhir.errors import ImagingError
from imaging_fhir.model.caller import CALLER, Caller
from imaging_fhir.model.codec import encode
from imaging_fhir.services.composition import Services
from imaging_fhir.services.import_answer import import_answer
from imaging_fhir.services.ingest import Outcome
from imaging_fhir.settings import Source
from imaging_fhir.web import streams
from imaging_fhir.web.negotiation import accepts_json
from imaging_fhir.web.observation import HEADER, begin_request, end_request
from imaging_fhir.web.responses import ANY_CACHE, CONTENT_TYPE
from imaging_fhir.web.storing import Result, Storing, written
from imaging_fhir.web.wsgi import TAKEN, Application, Environ, StartResponse, Taken

T = TypeVar("T")
OTHER = (  # what has an answer, or a policy, of its own
    "HTTP_AUTHORIZATION",
    "HTTP_CONTENT_ENCODING",
    "HTTP_COOKIE",
    "HTTP_ORIGIN",
    "HTTP_PREFER",
    "HTTP_TRANSFER_ENCODING",
)


class SentBody:
    """The body up to its Content-Length; raise ClientDisconnected where it ends before."""

    def __init__(self, stream: IO[bytes], length: int) -> None:
        self.stream = stream
        self.left = length

    def read(self, size: int = streams.CHUNK, /) -> bytes:
        if not self.left:
            return b""
        try:
            piece = self.stream.read(min(size, self.left))
        except (OSError, ValueError) as error:
            raise ClientDisconnected from error
        if not piece:
            raise ClientDisconnected
        self.left -= len(piece)
        return piece

    def chunks(self) -> Iterator[bytes]:
        while piece := self.read():
            yield piece


@dataclass(frozen=True, slots=True)
class Sent:
    """A request that is plain."""

    services: Services
    source: Source
    body: SentBody
    content_type: str


class Door(Protocol[T]):
    """One address; `answer` is None where Flask has to say more of it."""

    types: tuple[str, ...]  # that are created
    headers: tuple[tuple[str, str], ...]

    def is_plain(self, content_type: str, accept: str) -> bool: ...
    def take(self, sent: Sent) -> Taken[T]: ...
    def answer(self, sent: Sent, taken: Taken[T]) -> bytes | None: ...


class StoreInstances:
    types: tuple[str, ...] = ("ImagingStudy",)
    headers: tuple[tuple[str, str], ...] = (
        *(ANY_CACHE | {"Content-Type": DICOM_JSON, "X-Content-Type-Options": "nosniff"}).items(),
    )

    def is_plain(self, content_type: str, accept: str) -> bool:
        return is_of_instances(content_type) and takes_dicom_json(accept)

    def take(self, sent: Sent) -> Taken[Result]:
        storing = Storing(sent.services, sent.source)
        return Taken.of(storing.related(sent.body, sent.content_type))

    def answer(self, sent: Sent, taken: Taken[Result]) -> bytes | None:
        if taken.error is not None or not taken.values:
            return None
        status, body = written(taken.values, DICOM_JSON)
        return body if status == HTTPStatus.OK else None


class ImportImage:
    types: tuple[str, ...] = ("ImagingStudy", "DocumentReference")
    headers: tuple[tuple[str, str], ...] = (*(ANY_CACHE | {"Content-Type": CONTENT_TYPE}).items(),)

    def is_plain(self, content_type: str, accept: str) -> bool:
        return not content_type.lower().startswith("multipart/") and accepts_json(accept)

    def take(self, sent: Sent) -> Taken[Outcome]:
        return Taken.of(self.outcomes(sent))

    def outcomes(self, sent: Sent) -> Iterator[Outcome]:
        ingest = sent.services.ingest
        with ingest.store.stage(sent.body.chunks(), limit=ingest.max_bytes) as staged:
            yield from ingest.ingest_staged(staged, source=sent.source)

    def answer(self, sent: Sent, taken: Taken[Outcome]) -> bytes | None:
        if taken.error is not None or any(one.error is not None for one in taken.values):
            return None
        return sent.services.addresses.served(encode(import_answer(taken.values)))


DOORS: dict[str, Door[Any]] = {
    "/dicomweb/studies": StoreInstances(),
    "/fhir/$import-image": ImportImage(),
}


class PlainUploads:
    def __init__(self, application: Application, services: Services) -> None:
        self.application = application
        self.services = services
        self.is_open = services.settings.auth == "none" and not services.audit.is_on

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        door = DOORS.get(environ["PATH_INFO"]) if self.is_open else None
        if door is None or not is_plain(environ, door) or not self.lets_in(environ, door):
            return self.application(environ, start_response)
        started = perf_counter()
        request_id = begin_request(environ.get("HTTP_X_REQUEST_ID", ""))
        caller = Caller(address=environ.get("REMOTE_ADDR", ""))
        CALLER.set(caller)
        sent = Sent(
            self.services,
            self.services.site.source_of_address(caller.address),
            SentBody(environ["wsgi.input"], int(environ["CONTENT_LENGTH"])),
            environ.get("CONTENT_TYPE", ""),
        )
        taken = door.take(sent)
        body = door.answer(sent, taken)
        if body is None:
            told = environ | {TAKEN: taken, "HTTP_X_REQUEST_ID": request_id}
            return self.application(told, start_response)
        length = ("Content-Length", str(len(body)))
        start_response("200 OK", [*door.headers, length, (HEADER, request_id)])
        end_request("POST", environ["PATH_INFO"], HTTPStatus.OK, perf_counter() - started)
        return [body]

    def lets_in(self, environ: Environ, door: Door[Any]) -> bool:
        """As Flask would; what it says to those whom it does not is its own."""
        access, caller = self.services.access, Caller(address=environ.get("REMOTE_ADDR", ""))
        return access.admits(environ["HTTP_HOST"]) and all(
            access.may(caller, "create", type_name) for type_name in door.types
        )


def is_plain(environ: Environ, door: Door[Any]) -> bool:
    return (
        environ["REQUEST_METHOD"] == "POST"
        and not environ.get("QUERY_STRING")
        and "HTTP_HOST" in environ
        and has_length(environ.get("CONTENT_LENGTH", ""))
        and not any(name in environ for name in OTHER)
        and door.is_plain(environ.get("CONTENT_TYPE", ""), environ.get("HTTP_ACCEPT", ""))
    )


def has_length(text: str) -> bool:
    return text.isascii() and text.isdecimal() and text.strip("0") != ""


@lru_cache(maxsize=256)
def is_of_instances(content_type: str) -> bool:
    media_type, parameters = split_media_type(content_type)
    return media_type == RELATED and parameters.get("type", DICOM).lower() == DICOM


@lru_cache(maxsize=256)
def takes_dicom_json(accept: str) -> bool:
    try:
        return data_set_type(media_ranges(accept)) == DICOM_JSON
    except ImagingError:
        return False
