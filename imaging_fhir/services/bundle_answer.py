"""What an entry of a batch or transaction is answered (http.html#transaction-response)."""

from imaging_fhir.errors import ImagingError
from imaging_fhir.fhir.operation_outcome import outcome_of, outcome_of_error
from imaging_fhir.model.codec import Resource, decode
from imaging_fhir.services.resource_ports import Written
from imaging_fhir.storage.resources import StoredResource, instant


def response(status: str, stored: StoredResource) -> Resource:
    return {
        "status": status,
        "location": f"{stored.reference}/_history/{stored.version}",
        "etag": f'W/"{stored.version}"',
        "lastModified": instant(stored.last_updated),
    }


def written(result: Written, body: bytes | None) -> Resource:
    """With the resource where its body is given."""
    status = "201 Created" if result.created else "200 OK"
    answer: Resource = {"response": response(status, result.stored)}
    return answer if body is None else {"resource": decode(body), **answer}


def deleted() -> Resource:
    return {"response": {"status": "204 No Content"}}


def failed(error: ImagingError) -> Resource:
    return {"response": {"status": str(error.status), "outcome": outcome_of_error(error)}}


def shown(answer: Resource, returned: str) -> Resource:
    """An entry's answer with as much of it as is wanted."""
    if returned == "representation":
        return answer
    response = answer["response"]
    if returned == "OperationOutcome":
        response = {**response, "outcome": response.get("outcome", outcome_of([]))}
    return {"response": response}
