"""The command line: each command builds the settings and calls one service.

Exit codes: 0 all went well, 1 some items failed, 2 wrong use.
"""

import os
import re
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

import click
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from imaging_fhir import __version__
from imaging_fhir.cli_explain import explain
from imaging_fhir.cli_operations import COMMANDS
from imaging_fhir.cli_progress import ingest_progress
from imaging_fhir.cli_services import SOME_FAILED, WRONG_USE, running, settings_of_environment
from imaging_fhir.demo import demo
from imaging_fhir.errors import ImagingError, InvalidRequest, InvalidSetting
from imaging_fhir.images.folder import image_files
from imaging_fhir.logs import configure_logging
from imaging_fhir.model.caller import LOCAL
from imaging_fhir.model.codec import Resource, decode, encode
from imaging_fhir.serve import serve as serve_until_stopped
from imaging_fhir.services.access import require_safe_address
from imaging_fhir.services.backload import Backload, FileResult
from imaging_fhir.services.conversion import Conversion
from imaging_fhir.services.linking import Linking
from imaging_fhir.services.transaction import supported_part
from imaging_fhir.settings import PREFIX, SECRETS, Settings, Site, convert

Command = TypeVar("Command", bound=Callable[..., Any])
URN = re.compile(rb'"urn:uuid:[0-9a-f-]{36}"')
NAMES = {
    201: "new",
    200: "known already",
    202: "held or kept as a conflict",
    400: "refused",
    409: "refused",
    413: "too large",
    415: "no image of a type read here",
    422: "damaged, or not identifiable",
    507: "no room left",
}
errors = Console(stderr=True, highlight=False, soft_wrap=True)


class Commands(click.Group):
    """Ends a command that fails on purpose with one line and the right code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (InvalidSetting, InvalidRequest) as error:
            click.echo(f"imaging-fhir: {error}", err=True)
            ctx.exit(WRONG_USE)
        except ImagingError as error:
            click.echo(f"imaging-fhir: {error}", err=True)
            ctx.exit(SOME_FAILED)


@click.group(cls=Commands, no_args_is_help=True)
@click.version_option(__version__, prog_name="imaging-fhir")
def main() -> None:
    """Every clinical image in the patient's chart: DICOM and all other images as FHIR R4.

    Settings come from the environment (IMAGING_FHIR_DATA_DIR and its like); `serve` takes each as
    an option too.
    """


for command in (demo, explain, *COMMANDS):
    main.add_command(command)


def setting_options(command: Command) -> Command:
    """An option for each setting, which wins over the environment."""
    hints = get_type_hints(Settings, include_extras=True)
    offered = [setting for setting in fields(Settings) if setting.name not in SECRETS]
    for setting in reversed(offered):
        option = click.option(
            f"--{setting.name.replace('_', '-')}",
            metavar=get_args(hints[setting.name])[0].__name__.upper(),
            help=f"{get_args(hints[setting.name])[1]} [{setting.default}]",
        )
        command = option(command)
    return command


@main.command()
@setting_options
def serve(**options: str | None) -> None:
    """Serve FHIR, DICOMweb and the chart until stopped."""
    settings = Settings.from_environment(os.environ)
    given = {name: convert(name, text) for name, text in options.items() if text is not None}
    settings = replace(settings, **given)
    configure_logging(settings.log_format, settings.log_level)
    require_safe_address(settings)  # before it says where it serves
    click.echo(f"FHIR      {settings.public_address}/fhir")
    click.echo(f"DICOMweb  {settings.public_address}/dicomweb")
    click.echo(f"Chart     {settings.public_address}/chart")
    if settings.dimse_port:
        click.echo(f"C-STORE   {settings.dimse_address}:{settings.dimse_port}")
    if settings.auth == "none":
        click.echo("No log-in: everyone who reaches this port may see and change everything.")
    serve_until_stopped(settings)


@main.command("dimse")
def dimse_command() -> None:
    """Take in images by C-STORE until stopped, without the web; `serve` does it beside that."""
    from imaging_fhir.serve_dimse import serve_dimse  # here: other commands need no pynetdicom

    settings = settings_of_environment()
    if not settings.dimse_port:
        raise InvalidSetting(f"{PREFIX}DIMSE_PORT is not set.")
    serve_dimse(settings)


@main.command()
def worker() -> None:
    """Do background work until stopped, beside web processes on other machines."""
    with running() as services:
        thread = services.background.worker()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: thread.stopping.set())
        thread.start()
        thread.thread.join()


@main.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--source", help="Source of the site file that the files come from")
@click.option("--patient", help="Patient/ID whose images these are")
@click.option("--encounter", help="Encounter/ID at which they were made")
@click.option("--type", "type_", help="Type of the documents, as SYSTEM|CODE or text")
@click.option("--body-site", help="Body site of photos, as SYSTEM|CODE or text")
@click.option("--laterality", type=click.Choice(["R", "L", "B"]))
@click.option("--description", help="Description of the documents")
@click.option("--date", help="When they were made, as a FHIR dateTime")
@click.option("--dry-run", is_flag=True, help="Report what would become of them; keep nothing")
@click.option("--again", is_flag=True, help="Look also at files that an earlier run dealt with")
@click.option("--json", "as_json", is_flag=True, help="A line of JSON for each image")
@click.pass_context
def ingest(
    context: click.Context,
    /,
    paths: tuple[Path, ...],
    source: str | None,
    type_: str | None,
    dry_run: bool,
    again: bool,
    as_json: bool,
    **given: str | None,
) -> None:
    """Take in files, folders, discs and ZIP archives."""
    with running() as services:
        backload = Backload(database=services.database, ingest=services.ingest, site=services.site)
        results = backload.run(
            image_files(paths),
            source=services.site.source(source) if source else None,
            given=services.addresses.given({"type": type_, **given}),
            dry_run=dry_run,
            again=again,
        )
        counts: Counter[tuple[int, str]] = Counter()
        for result in results if as_json else ingest_progress(paths, results):
            counts.update(counted(result))
            report(result, as_json=as_json)
    if not as_json:
        summary(counts, dry_run=dry_run)
    failed = any(status >= 300 for status, _ in counts)
    context.exit(SOME_FAILED if failed else 0)


def counted(result: FileResult) -> Iterator[tuple[int, str]]:
    """Held and refused images are counted by their cause."""
    for outcome in result.outcomes:
        if outcome.filed is not None and outcome.status == 202:
            yield 202, outcome.filed.rule
        else:
            yield outcome.status, outcome.message if outcome.error else ""


def report(result: FileResult, *, as_json: bool) -> None:
    for outcome in result.outcomes:
        if as_json:
            filed = outcome.filed
            line = {
                "file": str(result.path),
                "member": outcome.name,
                "status": outcome.status,
                "location": outcome.location,
                "patient": filed.patient if filed else None,
                "encounter": filed.encounter if filed else None,
                "rule": filed.rule if filed else None,
                "message": outcome.message,
                "warnings": [f"{item.keyword}: {item.message}" for item in outcome.warnings],
            }
            click.echo(encode(line).decode())
        elif outcome.error is not None:
            name = f" ({outcome.name})" if outcome.name else ""
            errors.print(f"{result.path}{name}: {outcome.message}", markup=False)


def summary(counts: Counter[tuple[int, str]], *, dry_run: bool) -> None:
    click.echo("What would become of the images:" if dry_run else "What became of the images:")
    for status in sorted({status for status, _ in counts}):
        causes = {cause: number for (known, cause), number in counts.items() if known == status}
        click.echo(f"{sum(causes.values()):>8}  {NAMES.get(status, 'failed')}")
        for cause, number in sorted(causes.items(), key=lambda item: -item[1]):
            if cause:
                click.echo(f"          {number:>6}  {cause}")


@main.command("convert")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--format",
    "format_",
    type=click.Choice(["bundle", "ndjson"]),
    default="bundle",
    help="One transaction Bundle, or a resource on each line",
)
@click.option("--source", help="Source of the site file that the files come from")
@click.pass_context
def convert_images(
    context: click.Context, paths: tuple[Path, ...], format_: str, source: str | None
) -> None:
    """Print the FHIR resources of images; no database is touched."""
    settings = settings_of_environment()
    site = Site.from_file(settings.site_file)
    conversion = Conversion(
        linking=Linking(site),
        source=site.source(source or "default"),
        time_zone=settings.time_zone,
        now=datetime.now(UTC),
    )
    write = write_bundle if format_ == "bundle" else write_ndjson
    write(conversion.entries(image_files(paths)))
    for path, error in conversion.refused:
        errors.print(f"{path}: {error}", markup=False)
    context.exit(SOME_FAILED if conversion.refused else 0)


def write_bundle(entries: Iterable[Resource]) -> None:
    """Entry by entry, so that no more than one document is held at a time."""
    out = sys.stdout.buffer
    separator = b'{"resourceType":"Bundle","type":"transaction","entry":['
    for entry in entries:
        out.write(separator + encode(entry))
        separator = b",\n"
    empty = separator != b",\n"
    out.write(b'{"resourceType":"Bundle","type":"transaction"}\n' if empty else b"]}\n")


def write_ndjson(entries: Iterable[Resource]) -> None:
    """References by urn:uuid become those of the ids that the resources get here."""
    out = sys.stdout.buffer
    known: dict[bytes, bytes] = {}
    for entry in entries:
        content = entry["resource"]
        resource_id = content.get("id", entry["fullUrl"].removeprefix("urn:uuid:"))
        reference = f"{content['resourceType']}/{resource_id}"
        known[f'"{entry["fullUrl"]}"'.encode()] = f'"{reference}"'.encode()
        line = encode({"resourceType": content["resourceType"], "id": resource_id, **content})
        line = URN.sub(lambda match: known.get(match[0], match[0]), line)
        out.write(line + b"\n")


@main.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--strict", is_flag=True, help="Refuse a Bundle with a resource type not kept here")
@click.pass_context
def load(context: click.Context, files: tuple[Path, ...], strict: bool) -> None:
    """Load patients, visits and orders from FHIR transaction Bundles."""
    failed = False
    with running() as services, spinner() as progress:
        for path in progress.track(files, description="Loading"):
            try:
                bundle = decode(path.read_bytes())
                services.transactions.run(bundle if strict else supported_part(bundle), LOCAL)
            except ImagingError as error:
                errors.print(f"{path}: {error}", markup=False)
                failed = True
    context.exit(SOME_FAILED if failed else 0)


def spinner() -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description} {task.completed} of {task.total}"),
        TimeElapsedColumn(),
        console=errors,
    )


__all__ = ["PREFIX", "main"]
