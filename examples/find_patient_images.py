"""List a patient's images by visit: studies and documents alike.

    python examples/find_patient_images.py 'urn:oid:2.16.840.1.113883.19.5.1|104363' \
        --base http://127.0.0.1:8080/fhir --save thumbnails

The patient is named by identifier (SYSTEM|VALUE), as an EHR knows them, not by an id of this
server. With --save, a thumbnail of each document is put into that folder.
"""

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests

Resource = dict[str, Any]
NO_VISIT = "no visit known"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("identifier", help="SYSTEM|VALUE")
    parser.add_argument("--base", default="http://127.0.0.1:8080/fhir")
    parser.add_argument("--save", type=Path, help="folder for thumbnails of documents")
    arguments = parser.parse_args()
    visits: dict[str, list[str]] = defaultdict(list)
    with requests.Session() as session:
        for kind in ("ImagingStudy", "DocumentReference"):
            query = {"patient.identifier": arguments.identifier, "_include": f"{kind}:encounter"}
            for resource in found(session, f"{arguments.base}/{kind}", query):
                if resource["resourceType"] == kind:
                    visits[visit_of(resource)].append(line_of(resource))
                    if arguments.save and kind == "DocumentReference":
                        save_thumbnail(session, resource, arguments.save)
    for visit, lines in sorted(visits.items()):
        print(visit)
        for line in sorted(lines):
            print(f"  {line}")
    return 0 if visits else 1


def found(session: requests.Session, url: str, query: dict[str, str]) -> Iterator[Resource]:
    """The resources of every page: the server says where the next one is."""
    next_url: str | None = url
    while next_url:
        answer = session.get(next_url, params=query, timeout=60)
        answer.raise_for_status()
        bundle = answer.json()
        for entry in bundle.get("entry", []):
            yield entry["resource"]
        links = {link["relation"]: link["url"] for link in bundle["link"]}
        next_url, query = links.get("next"), {}  # the link has the query in it


def visit_of(resource: Resource) -> str:
    """ImagingStudy has one encounter, DocumentReference a list of them in its context.

    A visit whose number is known, but which is not here yet, has an identifier only.
    """
    listed = resource.get("context", {}).get("encounter", [{}])
    encounter = resource.get("encounter") or listed[0]
    number = encounter.get("identifier", {}).get("value")
    return str(encounter.get("reference") or (number and f"visit number {number}") or NO_VISIT)


def line_of(resource: Resource) -> str:
    if resource["resourceType"] == "ImagingStudy":
        modalities = "+".join(coding["code"] for coding in resource["modality"])
        counts = f"{resource['numberOfSeries']} series, {resource['numberOfInstances']} images"
        when = resource.get("started", "no date")
        return f"{when}  {modalities}  {resource.get('description', '')} ({counts})"
    attachment = resource["content"][0]["attachment"]
    when = attachment.get("creation", resource["date"])
    title = resource.get("description") or type_of(resource)
    return f"{when}  {attachment['contentType']}  {title} ({attachment['size']} bytes)"


def type_of(document: Resource) -> str:
    """A document need not have a type: the server never guesses one."""
    type_ = document.get("type", {})
    return str(type_.get("text") or type_.get("coding", [{}])[0].get("display", "document"))


def save_thumbnail(session: requests.Session, document: Resource, folder: Path) -> None:
    """The attachment's url is absolute; $thumbnail under it is a small JPEG or PNG."""
    answer = session.get(f"{document['content'][0]['attachment']['url']}/$thumbnail", timeout=60)
    if answer.ok:  # a document that is no picture has none
        folder.mkdir(parents=True, exist_ok=True)
        ending = answer.headers["Content-Type"].rpartition("/")[2]
        (folder / f"{document['id']}.{ending}").write_bytes(answer.content)


if __name__ == "__main__":
    sys.exit(main())
