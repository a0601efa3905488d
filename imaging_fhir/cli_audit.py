"""Commands for the audit trail: is it whole, and what is in it."""

from datetime import UTC, datetime

import click

from imaging_fhir.cli_services import SOME_FAILED, running
from imaging_fhir.services.audit_log import exported, verified


@click.group()
def audit() -> None:
    """Verify or export the trail of who did what."""


@audit.command()
@click.option("--head", default="", metavar="NUMBER:HASH", help="A seal that was noted earlier")
@click.pass_context
def verify(context: click.Context, head: str) -> None:
    """Look at every seal and every row, and say which row was changed, removed or put in."""
    with running() as services:
        services.audit.move()
        found = verified(services.database, head=head)
    click.echo(f"{found.batches} batches, {found.rows} sealed events, {found.unsealed} unsealed")
    if found.removed:
        click.echo(f"{found.removed} batches are over their time: their seals are left")
    if found.erased:
        click.echo(f"{found.erased} events are about somebody who was erased")
    if found.head:
        click.echo(f"head {found.head}")
    for fault in found.faults:
        click.echo(f"{fault.where}: {fault.what}", err=True)
    click.echo("The trail is broken." if found.faults else "The trail is whole.")
    context.exit(SOME_FAILED if found.faults else 0)


@audit.command()
@click.option("--since", type=click.DateTime(), help="Only events from this time on, in UTC")
@click.option("--until", type=click.DateTime(), help="Only events before this time, in UTC")
def export(since: datetime | None, until: datetime | None) -> None:
    """Print AuditEvents as NDJSON, the oldest first."""
    with running() as services:
        services.audit.move()
        for body in exported(
            services.database,
            base=services.base,
            since=milliseconds(since),
            until=milliseconds(until),
        ):
            click.echo(body)


def milliseconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.replace(tzinfo=UTC).timestamp() * 1000)
