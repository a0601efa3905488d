"""Commands for whoever runs the service: is all well, backup and restore, erasure."""

from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import click

from imaging_fhir.cli_adoption import adopt_ehr
from imaging_fhir.cli_audit import audit
from imaging_fhir.cli_authorization import client, keys, user
from imaging_fhir.cli_services import SOME_FAILED, running, settings_of_environment
from imaging_fhir.services.backup import Backup, restore
from imaging_fhir.services.check import Check
from imaging_fhir.services.composition import open_blob_store
from imaging_fhir.services.doctor import doctor
from imaging_fhir.services.erase import Erase, Erasure
from imaging_fhir.services.finding import Finding
from imaging_fhir.services.indexing import entries_of
from imaging_fhir.settings import zone
from imaging_fhir.storage import tombstones
from imaging_fhir.storage.database import Database

MEBIBYTE = 1024**2


@click.command()
@click.option("--deep", is_flag=True, help="Read every byte and every header again")
@click.option("--repair", is_flag=True, help="Mend what can be told from the rest")
@click.pass_context
def check(context: click.Context, deep: bool, repair: bool) -> None:
    """Compare blobs, index and resources, and report what disagrees."""
    with running() as services:
        checking = Check(
            database=services.database,
            store=services.blobs,
            recompute=partial(entries_of, zone=zone(services.settings.time_zone)),
        )
        unmended = report(checking.run(deep=deep, repair=repair))
    context.exit(SOME_FAILED if unmended else 0)


def report(findings: Iterator[Finding]) -> int:
    """Print each; the number of those that were not mended."""
    found = unmended = 0
    for finding in findings:
        found += 1
        unmended += not finding.repaired
        click.echo(f"{finding.kind}: {finding.subject}{' (mended)' if finding.repaired else ''}")
    click.echo(f"{found} found, {unmended} not mended." if found else "All agree.")
    return unmended


@click.command("doctor")
@click.pass_context
def doctor_command(context: click.Context) -> None:
    """Say whether what the service stands on is well, and what to do where it is not."""
    failed = False
    for diagnosis in doctor(settings_of_environment()):
        failed = failed or diagnosis.state == "failed"
        click.echo(f"{diagnosis.state:<8} {diagnosis.what}: {diagnosis.message}")
        if diagnosis.advice:
            click.echo(f"         -> {diagnosis.advice}")
    context.exit(SOME_FAILED if failed else 0)


@click.command()
@click.argument("target", type=click.Path(path_type=Path))
@click.pass_context
def backup(context: click.Context, target: Path) -> None:
    """Copy database and blobs to a new folder, or to a new .tar file, while serving."""
    with running() as services:
        manifest = Backup(database=services.database, store=services.blobs).write(target)
    click.echo(f"{manifest.blobs} blobs, {manifest.bytes // MEBIBYTE} MiB, in {target}")
    for sha256 in manifest.missing:
        click.echo(f"not there, or changed: {sha256}", err=True)
    context.exit(SOME_FAILED if manifest.missing else 0)


@click.command("restore")
@click.argument("source", type=click.Path(path_type=Path, exists=True))
@click.option(
    "--erased-in", metavar="URL", help="Database in use until now: what it erased stays erased"
)
@click.pass_context
def restore_command(context: click.Context, source: Path, erased_in: str | None) -> None:
    """Bring a backup back into an empty place."""
    settings = settings_of_environment()
    restored = restore(
        source,
        settings.database_address,
        open_blob_store(settings),
        tombstones=tombstones_of(erased_in) if erased_in else None,
    )
    click.echo(
        f"{restored.blobs} blobs, {restored.bytes // MEBIBYTE} MiB; "
        f"{restored.erased_again} resources erased again"
    )
    for sha256 in restored.damaged:
        click.echo(f"damaged in the backup: {sha256}", err=True)
    context.exit(SOME_FAILED if restored.damaged else 0)


def tombstones_of(url: str) -> dict[str, int]:
    with closing(Database(url)) as database, database.read() as connection:
        return tombstones.everything(connection)


@click.group()
def erase() -> None:
    """Remove a study, document or patient for good; without --really only say what would go."""


def erasing(kind: str, name: str, description: str) -> None:
    """One command of `erase`: a dry run unless it is meant."""

    @erase.command(kind, help=description)
    @click.argument(name)
    @click.option("--really", is_flag=True, help="Erase; there is no way back but a backup")
    def command(really: bool, **given: str) -> None:
        with running() as services:
            erasure: Callable[..., Erasure] = getattr(
                Erase(database=services.database, store=services.blobs), kind
            )
            tell(erasure(given[name], dry_run=not really), really=really)


erasing("study", "study", "By StudyInstanceUID, or by the id of the ImagingStudy.")
erasing("document", "document_id", "By the id of the DocumentReference.")
erasing("patient", "patient_id", "By the id of the Patient, with everything of theirs.")


@erase.command("allow-again")
@click.argument("kind", type=click.Choice(["study", "series", "instance", "content"]))
@click.argument("value")
def allow_again(kind: str, value: str) -> None:
    """Let what was erased come in again: by its UID, or by the SHA-256 of its bytes."""
    with running() as services:
        Erase(database=services.database, store=services.blobs).allow_again(kind, value)


def tell(erased: Erasure, *, really: bool) -> None:
    click.echo("Erased:" if really else "Would be erased (nothing was; say --really):")
    for resource_type, number in sorted(erased.resources.items()):
        click.echo(f"{number:>8}  {resource_type}")
    click.echo(f"{erased.blobs:>8}  contents, {erased.bytes // MEBIBYTE} MiB")
    if erased.shared_blobs:
        click.echo(f"{erased.shared_blobs:>8}  contents stay: something else refers to them")
    if erased.audit_rows:
        click.echo(f"{erased.audit_rows:>8}  audit events that no longer say who is meant")
    if erased.redacted:
        click.echo(f"{erased.redacted:>8}  other resources that named it")


COMMANDS: tuple[Any, ...] = (
    check,
    doctor_command,
    backup,
    restore_command,
    erase,
    adopt_ehr,
    audit,
    client,
    user,
    keys,
)
