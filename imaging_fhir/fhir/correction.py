"""What a correction answers: Parameters with the outcome, the result and its Provenance."""

from imaging_fhir.fhir.operation_outcome import operation_outcome
from imaging_fhir.model.codec import Resource
from imaging_fhir.model.correction import Corrected


def corrected(done: Corrected) -> Resource:
    outcome = operation_outcome("informational", done.text, severity="information")
    parameters: list[Resource] = [
        {"name": "outcome", "resource": outcome},
        {"name": "result", "valueReference": {"reference": done.result}},
    ]
    if done.provenance:
        parameters.append({"name": "provenance", "valueReference": {"reference": done.provenance}})
    return {"resourceType": "Parameters", "parameter": parameters}
