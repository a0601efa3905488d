"""Follow new and changed images, and miss none: ask for what changed since the last time.

    python examples/follow_new_images.py --base http://127.0.0.1:8080/fhir --state follow.json

`meta.lastUpdated` grows with every commit, in the order in which commits become visible. So
what is later than the last one seen is all that is new. Every page is followed by its `next` link
to the end, and where to go on is written down when a page has been dealt with: no version of a
resource is handed over twice, unless the program is killed in the middle of a page, which it then
gets again. A resource that changed twice between two looks is seen once, as it is now. Deletions
are not told by a search.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests

Resource = dict[str, Any]
KINDS = ("ImagingStudy", "DocumentReference")
BEGINNING = "1970-01-01T00:00:00.000Z"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--base", default="http://127.0.0.1:8080/fhir")
    parser.add_argument("--state", type=Path, default=Path("follow.json"))
    parser.add_argument("--every", type=float, help="seconds between looks; without: look once")
    parser.add_argument("--count", type=int, default=100, help="resources on a page")
    arguments = parser.parse_args()
    state = json.loads(arguments.state.read_text()) if arguments.state.exists() else {}
    with requests.Session() as session:
        while True:
            for kind in KINDS:
                place = state.setdefault(kind, {"seen": BEGINNING, "next": None})
                for page in pages(session, arguments.base, kind, place, arguments.count):
                    for resource in page:
                        deal_with(resource)
                    keep(arguments.state, state)
            if arguments.every is None:
                return 0
            time.sleep(arguments.every)


def pages(
    session: requests.Session, base: str, kind: str, place: dict[str, Any], count: int
) -> Iterator[list[Resource]]:
    """The pages of what is new; `place` is where to go on once the page has been dealt with."""
    first = f"{base}/{kind}?_lastUpdated=gt{place['seen']}&_sort=_lastUpdated&_count={count}"
    url = place["next"] or first
    while url:
        answer = session.get(url, timeout=60)
        answer.raise_for_status()
        bundle = answer.json()
        page = [entry["resource"] for entry in bundle.get("entry", [])]
        links = {link["relation"]: link["url"] for link in bundle["link"]}
        url = place["next"] = links.get("next")
        if page:
            place["seen"] = page[-1]["meta"]["lastUpdated"]
            yield page
    place["next"] = None


def deal_with(resource: Resource) -> None:
    """Put what your system does with a new image here; id and version say which it is."""
    patient = resource["subject"]["reference"]
    print(f"{resource['resourceType']}/{resource['id']} {resource['meta']['versionId']} {patient}")


def keep(path: Path, state: dict[str, Any]) -> None:
    """In one step, so that the file is never half written."""
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(state))
    fresh.replace(path)


if __name__ == "__main__":
    sys.exit(main())
