"""Attach a photo to a visit, as a bedside application does, and read back what was filed.

    python examples/attach_photo.py photo.jpg --patient demo-lindqvist \
        --encounter demo-lindqvist-dressing-2 --body-site 'left lower leg' --laterality L \
        --base http://127.0.0.1:8080/fhir

A photo names nobody inside, so the patient is said by who sends it; an encounter of somebody
else is refused with 422, an unknown patient with 400.
"""

import argparse
import sys
from pathlib import Path

import requests


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("photo", type=Path)
    parser.add_argument("--patient", required=True, help="id of the Patient")
    parser.add_argument("--encounter", help="id of the Encounter; else found by the photo's time")
    parser.add_argument("--body-site", help="text, or SYSTEM|CODE")
    parser.add_argument("--laterality", choices=["R", "L", "B"])
    parser.add_argument("--description")
    parser.add_argument("--base", default="http://127.0.0.1:8080/fhir")
    arguments = parser.parse_args()
    form = {
        "patient": f"Patient/{arguments.patient}",
        "encounter": f"Encounter/{arguments.encounter}" if arguments.encounter else None,
        "bodySite": arguments.body_site,
        "laterality": arguments.laterality,
        "description": arguments.description,
    }
    with arguments.photo.open("rb") as content:
        answer = requests.post(
            f"{arguments.base}/$import-image",
            data={name: value for name, value in form.items() if value},
            files={"file": (arguments.photo.name, content)},
            timeout=120,
        )
    body = answer.json()
    if body["resourceType"] == "OperationOutcome":
        print(f"Refused ({answer.status_code}): {body['issue'][0]['diagnostics']}")
        return 1
    entry = body["entry"][0]
    for issue in entry["response"]["outcome"]["issue"]:
        print(f"{issue['severity']}: {issue.get('diagnostics', '')}")
    links = {link["relation"]: link["url"] for link in entry["link"]}
    print(f"In the chart: {links['chart']}")
    if entry["response"]["status"].startswith("202"):  # held: the location is its Task
        print(f"Held: {entry['response']['location']}")
        return 1
    document = requests.get(entry["response"]["location"], timeout=60).json()
    print(f"DocumentReference/{document['id']} of {document['subject']['reference']}")
    print(f"Bytes: {document['content'][0]['attachment']['url']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
