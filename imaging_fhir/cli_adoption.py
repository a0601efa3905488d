"""`imaging-fhir adopt-ehr`: a site that has lived without an EHR goes over to one."""

import json
from collections import Counter
from dataclasses import asdict

import click

from imaging_fhir.cli_services import SOME_FAILED, running
from imaging_fhir.errors import EhrUnavailable, InvalidSetting
from imaging_fhir.services.adoption import Adopted, Adoption
from imaging_fhir.services.adoption_plan import CAUSES, HARMLESS, Planning
from imaging_fhir.services.composition import Services


@click.command("adopt-ehr")
@click.option("--dry-run", is_flag=True, help="Only say what would be done")
@click.option(
    "--json", "as_json", is_flag=True, help="A line of JSON for each Patient, and one more"
)
@click.pass_context
def adopt_ehr(context: click.Context, dry_run: bool, as_json: bool) -> None:
    """Move the Patients, visits and orders made here to those that the EHR knows by number.

    It can be ended at any moment and run again; the service may run meanwhile.
    """
    counts: Counter[str] = Counter()
    stopped = ""
    with running() as services:
        try:
            for one in adoption_of(services).run(dry_run=dry_run):
                counts[one.cause] += 1
                click.echo(json.dumps(asdict(one)) if as_json else line(one))
        except EhrUnavailable as error:
            stopped = str(error)
    if as_json:
        click.echo(json.dumps({"dryRun": dry_run, "patients": counts, "stopped": stopped or None}))
    else:
        tell(counts, dry_run=dry_run)
        if stopped:
            click.echo(f"Not all were looked at: {stopped} Run it again.", err=True)
    context.exit(SOME_FAILED if stopped or set(counts) - HARMLESS else 0)


def adoption_of(services: Services) -> Adoption:
    """Raise InvalidSetting where there is no EHR."""
    if services.ehr is None:
        raise InvalidSetting("IMAGING_FHIR_EHR_URL is not set: there is no EHR to go over to.")
    look_up = services.ehr.look_up
    return Adoption(
        database=services.database,
        planning=Planning(database=services.database, ehr=look_up.ehr, copies=look_up.copies),
        copies=look_up.copies,
        merging=services.merging,
        clock=look_up.clock,
    )


def line(one: Adopted) -> str:
    """One Patient: by ids, never by name or number."""
    whither = f" -> {one.target}" if one.target else ""
    parts = [f"{one.cause:<22} Patient/{one.patient}{whither}"]
    counted = (
        (one.studies, "studies"),
        (one.documents, "documents"),
        (len(one.visits), "visits"),
        (len(one.orders), "orders"),
    )
    told = ", ".join(f"{number} {name}" for number, name in counted if number)
    if told:
        parts.append(f" ({told})")
    parts += [f"\n    stays: {reference} ({why})" for reference, why in one.left]
    return "".join(parts)


def tell(counts: Counter[str], *, dry_run: bool) -> None:
    click.echo("Would be done (nothing was):" if dry_run else "Done:")
    for cause, words in CAUSES.items():
        if counts[cause]:
            click.echo(f"{counts[cause]:>8}  {words}")
    if not counts:
        click.echo("       0  Patients were made here")
