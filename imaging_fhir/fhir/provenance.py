"""Provenance: who changed what, why, and from what (https://hl7.org/fhir/R4/provenance.html)."""

from collections.abc import Sequence
from datetime import datetime

from imaging_fhir.fhir import canonical
from imaging_fhir.fhir.datatypes import instant, string, without_empty
from imaging_fhir.model.codec import Resource

ACTIVITIES = {
    "link": "A person said whose image it is",
    "correct-by-source": "A source that is authoritative here corrected whose image it is",
    "reject-by-note": "A rejection note named images, which are hidden",
    "reject": "A person said that it belongs in no chart here",
    "split": "A person said that a part of a study is another patient's",
    "merge": "Two Patients are one person",
    "undo": "A correction was undone",
}


def provenance(
    activity: str,
    *,
    targets: Sequence[str],
    recorded: datetime,
    agent: str,
    reason: str | None,
    revised: Sequence[str] = (),
) -> Resource:
    """One correction: `targets` as they are now, `revised` the versions that they had before.

    `agent` is who asked, as far as the server knows it.
    """
    return without_empty(
        {
            "resourceType": "Provenance",
            "target": [{"reference": target} for target in targets],
            "recorded": instant(recorded),
            "reason": [{"text": text}] if (text := string(reason)) else None,
            "activity": {
                "coding": [
                    {
                        "system": canonical.CORRECTION,
                        "code": activity,
                        "display": ACTIVITIES[activity],
                    }
                ]
            },
            "agent": [
                {
                    "type": {"coding": [{"system": canonical.PROVENANCE_AGENT, "code": "author"}]},
                    "who": {"display": agent},
                }
            ],
            "entity": [{"role": "revision", "what": {"reference": one}} for one in revised],
        }
    )
