"""Send every file of a folder to imaging_fhir, and say what became of each.

    python examples/import_folder.py FOLDER --base http://127.0.0.1:8080/fhir

A file's type is told by its content, so the whole folder can be sent as it is: what is no image
is refused. Sending the same file again changes nothing. Exit code 1: some files were not filed.
"""

import argparse
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import requests

MEANINGS = {201: "filed", 200: "known already", 202: "held, or kept as a conflict"}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--base", default="http://127.0.0.1:8080/fhir")
    arguments = parser.parse_args()
    counts: Counter[str] = Counter()
    with requests.Session() as session:
        for path in sorted(path for path in arguments.folder.rglob("*") if path.is_file()):
            for status, text in send(session, arguments.base, path):
                print(f"{status}  {path.relative_to(arguments.folder)}  {text}")
                counts[MEANINGS.get(status, "refused")] += 1
    print(", ".join(f"{number} {meaning}" for meaning, number in counts.items()))
    return 1 if counts["refused"] or counts[MEANINGS[202]] else 0


def send(session: requests.Session, base: str, path: Path) -> list[tuple[int, str]]:
    """Status and explanation of each image in the file: a ZIP archive has many.

    The file is the body of the request: requests streams it, whatever its size.
    """
    with path.open("rb") as body:
        answer = session.post(
            f"{base}/$import-image",
            data=body if path.stat().st_size else b"",
            headers={"Content-Type": "application/octet-stream"},
            timeout=600,
        )
    content = answer.json()
    if content["resourceType"] == "OperationOutcome":  # the one file was refused
        return [(answer.status_code, content["issue"][0]["diagnostics"])]
    return [explained(entry) for entry in content["entry"]]


def explained(entry: dict[str, Any]) -> tuple[int, str]:
    """The first issue of each outcome is the decision: its rule and the reason in words."""
    response = entry["response"]
    decision = response["outcome"]["issue"][0]
    rule = decision.get("details", {}).get("coding", [{"code": decision["code"]}])[0]["code"]
    where = response.get("location", "")
    return int(response["status"][:3]), f"{rule}: {decision.get('diagnostics', '')} {where}".strip()


if __name__ == "__main__":
    sys.exit(main())
