"""The commonest request of all, `GET /fhir/Type/id` without conditions, answered before Flask.

It answers only where there is a current version to be sent as it is stored; everything else,
all errors included, is Flask's. The same policy is asked, and the answer is the same to the byte.
"""

import re
from collections.abc import Iterable
from time import perf_counter

from imaging_fhir.errors import ImagingError
from imaging_fhir.fhir.resource_type import RESOURCE_TYPES
from imaging_fhir.model.caller import CALLER, Caller
from imaging_fhir.services.audit import Asked
from imaging_fhir.services.composition import Services
from imaging_fhir.storage.resources import StoredResource
from imaging_fhir.web.auditing import patients_in
from imaging_fhir.web.authentication import authenticate
from imaging_fhir.web.negotiation import accepts_json
from imaging_fhir.web.observation import HEADER, begin_request, end_request
from imaging_fhir.web.responses import ANY_CACHE, CONTENT_TYPE, version_headers
from imaging_fhir.web.wsgi import Application, Environ, StartResponse

ADDRESS = re.compile(r"/fhir/([A-Z][A-Za-z]+)/([A-Za-z0-9\-.]{1,64})")
ROUTE = "/fhir/<type_name>/<resource_id>"
CONDITIONS = ("HTTP_IF_NONE_MATCH", "HTTP_IF_MODIFIED_SINCE")
TYPES = frozenset(name for name, type_ in RESOURCE_TYPES.items() if "read" in type_.interactions)
APART = frozenset({"Binary", "AuditEvent"})  # answered with what they stand for


class PlainReads:
    def __init__(self, application: Application, services: Services) -> None:
        self.application = application
        self.services = services

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        address = ADDRESS.fullmatch(environ["PATH_INFO"])
        if address is None or not is_plain(environ):
            return self.application(environ, start_response)
        return self.answer(environ, start_response, *address.groups())

    def answer(
        self, environ: Environ, start_response: StartResponse, type_name: str, resource_id: str
    ) -> Iterable[bytes]:
        started = perf_counter()
        access = self.services.access
        if type_name not in TYPES - APART or not access.admits(environ["HTTP_HOST"]):
            return self.application(environ, start_response)
        found = self.found(environ, type_name, resource_id)
        if found is None:
            return self.application(environ, start_response)
        caller, stored, body = found
        request_id = begin_request(environ.get("HTTP_X_REQUEST_ID", ""))
        if self.services.audit.is_on and not self.is_noted(caller, stored, body, request_id):
            return self.application(environ, start_response)
        headers = [
            *version_headers(stored).items(),
            *ANY_CACHE.items(),
            ("Content-Type", CONTENT_TYPE),
            ("Content-Length", str(len(body))),
            (HEADER, request_id),
        ]
        start_response("200 OK", headers)
        end_request("GET", ROUTE, 200, perf_counter() - started)
        return [body]

    def found(
        self, environ: Environ, type_name: str, resource_id: str
    ) -> tuple[Caller, StoredResource, bytes] | None:
        """Who asks, the current version and its body; None where there is more to be said."""
        try:
            caller = authenticate(environ, self.services)
            if caller.is_anonymous and self.services.tokens is not None:
                return None
            self.services.access.require(caller, "read", type_name)
            if type_name in self.services.access.restrictions(caller, "r"):
                return (caller, *self.found_by(caller, type_name, resource_id))
            stored = self.services.resources.current.find(type_name, resource_id)
            if stored is None or stored.body is None:
                return None
            return caller, stored, self.services.addresses.served(stored.body)
        except ImagingError:
            return None

    def found_by(
        self, caller: Caller, type_name: str, resource_id: str
    ) -> tuple[StoredResource, bytes]:
        """The same of what is open to the caller; raise ImagingError."""
        asking = CALLER.set(caller)
        try:
            stored, body = self.services.resources.read(type_name, resource_id)
        finally:
            CALLER.reset(asking)
        return stored, self.services.addresses.served(body)

    def is_noted(
        self, caller: Caller, stored: StoredResource, body: bytes, request_id: str
    ) -> bool:
        """Is it in the audit trail? If not, nothing is answered but that."""
        asked = Asked(kind="read", entity=stored.reference, patients=patients_in(body))
        try:
            self.services.audit.note(caller, asked, request=request_id)
        except ImagingError:
            return False
        return True


def is_plain(environ: Environ) -> bool:
    return (
        environ["REQUEST_METHOD"] == "GET"
        and not environ.get("QUERY_STRING")
        and "HTTP_HOST" in environ
        and not any(condition in environ for condition in CONDITIONS)
        and accepts_json(environ.get("HTTP_ACCEPT", ""))
    )
