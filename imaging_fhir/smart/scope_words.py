"""What a scope means, in plain words, for whoever is asked whether an app may have it."""

from collections.abc import Iterable, Mapping

from imaging_fhir.model.caller import EVERY_TYPE, Scope
from imaging_fhir.smart.scope import parse_scope

TYPES: Mapping[str, str] = {
    "Patient": "name, birth date and identifiers",
    "Encounter": "visits",
    "ImagingStudy": "imaging studies (X-ray, CT, MR, ultrasound …)",
    "DocumentReference": "photos, scans and documents",
    "Binary": "the files of photos and documents",
    "DiagnosticReport": "reports",
    "Observation": "observations",
    "ServiceRequest": "orders",
    "Practitioner": "names of clinicians",
    "Task": "the list of held images",
}
OTHERS: Mapping[str, str] = {
    "openid": "Know who you are",
    "fhirUser": "Know your record as a user",
    "profile": "Know your record as a user",
    "launch": "Know which patient and visit you have open",
    "launch/patient": "Know which patient you choose",
    "launch/encounter": "Know which visit you choose",
    "launch/imagingstudy": "Know which imaging study you have open",
    "offline_access": "Keep this access when you have logged out",
    "online_access": "Keep this access while you are logged in",
}
WHOSE: Mapping[str, str] = {
    "patient": "of this one patient",
    "user": "of every patient whom you may see",
    "system": "of every patient",
}


def in_words(text: str) -> str:
    scope = parse_scope(text)
    if scope is None:
        return OTHERS.get(text, text)
    what = "everything in the record" if scope.resource_type == EVERY_TYPE else type_words(scope)
    kept = limits(scope.parameters)
    return f"{verbs(scope.permissions)} {what} {WHOSE[scope.context]}{kept}"


def type_words(scope: Scope) -> str:
    return TYPES.get(scope.resource_type, f"{scope.resource_type} resources")


def verbs(permissions: frozenset[str]) -> str:
    found = [
        verb
        for verb, letters in (("See", "rs"), ("add", "c"), ("change", "u"), ("delete", "d"))
        if permissions.intersection(letters)
    ]
    text = found[0] if len(found) == 1 else f"{', '.join(found[:-1])} and {found[-1]}"
    return text[0].upper() + text[1:]


def limits(parameters: Iterable[tuple[str, str]]) -> str:
    found = [f"{name} is {value}" for name, value in parameters]
    return f", only where {' and '.join(found)}" if found else ""
