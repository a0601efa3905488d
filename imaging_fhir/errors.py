"""Every error the service raises on purpose.

    ImagingError              500 exception
    ├── InvalidRequest        400 invalid
    ├── Unauthenticated       401 login
    ├── AccessDenied          403 forbidden
    ├── ResourceNotFound      404 not-found
    ├── NotSupported          405 not-supported
    ├── NotAcceptable         406 not-supported
    ├── ResourceConflict      409 conflict
    ├── ResourceDeleted       410 deleted
    ├── VersionConflict       412 conflict
    ├── MultipleMatches       412 multiple-matches
    ├── UploadTooLarge        413 too-long
    ├── UnsupportedMediaType  415 not-supported
    ├── UnsupportedImage      415 not-supported
    ├── RangeNotSatisfiable   416 invalid
    ├── UnreadableImage       422 structure
    ├── InvalidResource       422 invariant
    ├── TooManyRequests       429 throttled
    ├── InvalidSetting        500 exception
    ├── EhrUnavailable        503 transient
    ├── IssuerUnavailable     503 transient
    ├── DecodingBusy          503 transient
    ├── StorageUnavailable    503 transient
    ├── SearchTooCostly       503 too-costly
    └── StorageFull           507 no-store

The message is shown to the caller (OperationOutcome.issue.diagnostics): it names resources by
type and id, and never a patient or a searched value.
"""

from typing import ClassVar


class ImagingError(Exception):
    """Base of all of them; raised itself only for a fault of ours."""

    status: ClassVar[int] = 500
    issue_code: ClassVar[str] = "exception"  # http://hl7.org/fhir/R4/valueset-issue-type.html

    def __init__(self, message: str, *, expression: str | None = None) -> None:
        super().__init__(message)
        self.expression = expression  # FHIRPath of the element at fault, where there is one


class InvalidRequest(ImagingError):
    status, issue_code = 400, "invalid"


class Unauthenticated(ImagingError):
    """Nobody is known to ask, or the access token does not count.

    `error` is a code of RFC 6750 3.1, of WWW-Authenticate; none where no token was sent.
    """

    status, issue_code = 401, "login"

    def __init__(self, message: str, *, error: str = "") -> None:
        super().__init__(message)
        self.error = error


class AccessDenied(ImagingError):
    status, issue_code = 403, "forbidden"


class ResourceNotFound(ImagingError):
    status, issue_code = 404, "not-found"


class NotSupported(ImagingError):
    status, issue_code = 405, "not-supported"


class NotAcceptable(ImagingError):
    status, issue_code = 406, "not-supported"


class ResourceConflict(ImagingError):
    status, issue_code = 409, "conflict"


class ResourceDeleted(ImagingError):
    status, issue_code = 410, "deleted"

    def __init__(self, message: str, *, successor: str | None = None) -> None:
        super().__init__(message)
        self.successor = successor  # Type/id of what took its place


class VersionConflict(ImagingError):
    status, issue_code = 412, "conflict"


class MultipleMatches(ImagingError):
    status, issue_code = 412, "multiple-matches"


class UploadTooLarge(ImagingError):
    status, issue_code = 413, "too-long"


class UnsupportedMediaType(ImagingError):
    """The body's Content-Type is none that this address takes."""

    status, issue_code = 415, "not-supported"


class UnsupportedImage(ImagingError):
    """The bytes are of no image type that this server reads."""

    status, issue_code = 415, "not-supported"


class RangeNotSatisfiable(ImagingError):
    status, issue_code = 416, "invalid"


class UnreadableImage(ImagingError):
    """The bytes are of a known image type, but damaged or not identifiable."""

    status, issue_code = 422, "structure"


class InvalidResource(ImagingError):
    """A resource that parses but breaks R4; `issues` lists every fault found."""

    status, issue_code = 422, "invariant"

    def __init__(
        self,
        message: str,
        *,
        expression: str | None = None,
        issues: "tuple[tuple[str, str], ...]" = (),
        codes: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message, expression=expression)
        self.issues = issues  # (FHIRPath expression, what is wrong)
        self.codes = codes or (self.issue_code,) * len(issues)  # of the issues


class TooManyRequests(ImagingError):
    status, issue_code = 429, "throttled"


class InvalidSetting(ImagingError):
    """A setting is wrong; only ever raised at start."""


class EhrUnavailable(ImagingError):
    """The EHR did not answer in time, or with nothing that can be used; never fails an upload."""

    status, issue_code = 503, "transient"


class IssuerUnavailable(ImagingError):
    """Who issued the access token does not answer, so whether it counts is not known."""

    status, issue_code = 503, "transient"


class DecodingBusy(ImagingError):
    """Every process that decodes pixels is at work; another try may go well."""

    status, issue_code = 503, "transient"


class StorageUnavailable(ImagingError):
    status, issue_code = 503, "transient"


class SearchTooCostly(ImagingError):
    status, issue_code = 503, "too-costly"


class StorageFull(ImagingError):
    status, issue_code = 507, "no-store"
