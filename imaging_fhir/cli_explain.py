"""The command that says why an image would be linked as it would."""

from collections.abc import Iterator
from pathlib import Path

import click

from imaging_fhir.cli_services import running
from imaging_fhir.fhir.link_explanation import link_explanation
from imaging_fhir.model.caller import LOCAL
from imaging_fhir.model.codec import encode
from imaging_fhir.model.explanation import LinkExplanation
from imaging_fhir.model.link import Given
from imaging_fhir.storage.local import LocalFile


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--source", help="Source of the site file that it comes from; else by its folder")
@click.option("--patient", help="Patient/ID whom the sender names")
@click.option("--encounter", help="Encounter/ID that the sender names")
@click.option("--json", "as_json", is_flag=True, help="The Parameters of $explain-link")
def explain(
    file: Path, source: str | None, patient: str | None, encounter: str | None, as_json: bool
) -> None:
    """Say why an image would be linked as it would, rule by rule; keep nothing."""
    with running() as services:
        explanation = services.explain_link.file(
            LocalFile(file),
            source=services.site.source(source) if source else services.site.source_of_path(file),
            given=Given(patient=patient, encounter=encounter),
            caller=LOCAL,
        )
    if as_json:
        click.echo(encode(link_explanation(explanation)).decode())
    else:
        for line in explanation_in_lines(explanation):
            click.echo(line)


def explanation_in_lines(explanation: LinkExplanation) -> Iterator[str]:
    """The evidence by kinds, the rules as far as they were tried, and the decision."""
    for kind, there in explanation.evidence:
        yield f"{kind}: {there}"
    for list_ in ("patient", "visit"):
        yield f"Rules of the {list_}:"
        for rule in explanation.rules:
            if rule.list == list_ and rule.state != "not-reached":
                found = "" if rule.found in ("", "nothing") else f": {rule.found}"
                yield f"  {rule.state:<15} {rule.name}{found}"
    for one in explanation.candidates:
        verdict = "taken" if one.taken else "not taken"
        yield f"{one.reference or one.list} ({verdict}, by {one.by}): {one.why}"
    nobody = "a new one" if explanation.state == "filed" else "nobody"
    whose = explanation.patient or nobody
    name = explanation.patient_rule or "no rule"
    yield f"Patient: {explanation.state} ({whose}) by {name}. {explanation.patient_reason}"
    if explanation.encounter_rule:
        visit = explanation.encounter or "none"
        yield f"Visit: {visit} by {explanation.encounter_rule}. {explanation.encounter_reason}"
    yield from (f"Note: {note}" for note in explanation.notes)
    yield from (f"To change it: {change}" for change in explanation.changes)
