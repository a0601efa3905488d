"""Commands for the built-in authorization server: people, apps and keys."""

from pathlib import Path
from typing import TextIO

import click

from imaging_fhir.cli_services import running
from imaging_fhir.errors import InvalidRequest, InvalidSetting
from imaging_fhir.model.authorization import (
    AUTHORIZATION_CODE,
    CLIENT_CREDENTIALS,
    REFRESH_TOKEN,
    Client,
)
from imaging_fhir.model.codec import decode
from imaging_fhir.services.authorization import Authorization
from imaging_fhir.services.composition import Services
from imaging_fhir.services.registration import register_client, remove_client
from imaging_fhir.services.sessions import Sessions
from imaging_fhir.settings import PREFIX
from imaging_fhir.trust import ROLES

NONE_HERE = (
    f"There is no authorization server here: {PREFIX}AUTH=smart and "
    f"{PREFIX}AUTHORIZATION_SERVER=yes make one."
)


def authorization_of(services: Services) -> Authorization:
    if services.authorization is None:
        raise InvalidSetting(NONE_HERE)
    return services.authorization


def sessions_of(services: Services) -> Sessions:
    if services.sessions is None:
        raise InvalidSetting(NONE_HERE)
    return services.sessions


@click.group()
def client() -> None:
    """Register, list and remove the apps and back ends that may ask for access tokens."""


@client.command("add")
@click.argument("client_id")
@click.option("--name", default="", help="As people see it")
@click.option("--redirect-uri", "redirect_uris", multiple=True, help="To the letter; repeatable")
@click.option("--launch-uri", default="", help="Where the chart opens it")
@click.option("--scope", default="", help="The most that it may ask for, with spaces between")
@click.option("--confidential", is_flag=True, help="It keeps a secret, which is shown once")
@click.option("--jwks-file", type=click.Path(path_type=Path), help="Its public keys")
@click.option("--jwks-uri", default="", help="Where they are")
@click.option("--backend", is_flag=True, help="No person: system/ scopes, by its key")
def add_client(
    client_id: str,
    name: str,
    redirect_uris: tuple[str, ...],
    launch_uri: str,
    scope: str,
    confidential: bool,
    jwks_file: Path | None,
    jwks_uri: str,
    backend: bool,
) -> None:
    """Register an app, or with --backend a back end."""
    method = "client_secret_basic" if confidential else "none"
    if jwks_file is not None or jwks_uri:
        method = "private_key_jwt"
    added = Client(
        id=client_id,
        name=name or client_id,
        auth_method=method,
        grant_types=(CLIENT_CREDENTIALS,) if backend else (AUTHORIZATION_CODE, REFRESH_TOKEN),
        redirect_uris=redirect_uris,
        launch_uri=launch_uri,
        scope=scope,
        jwks_uri=jwks_uri,
        jwks=read_jwks(jwks_file) if jwks_file else None,
    )
    with running() as services:
        _, secret = register_client(authorization_of(services), added)
    click.echo(f"{client_id} is registered ({method}).")
    if secret is not None:
        click.echo(f"client_secret {secret}")
        click.echo("It is kept as a digest, and cannot be shown again.")


def read_jwks(path: Path) -> dict[str, object]:
    try:
        found = decode(path.read_bytes())
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read.") from error
    if not isinstance(found, dict):
        raise InvalidRequest(f"{path} is no JWKS.")
    return found


@client.command("list")
def list_clients() -> None:
    """One a line: id, how it shows who it is, what it may ask for."""
    with running() as services:
        for one in authorization_of(services).clients():
            click.echo(f"{one.id}\t{one.auth_method}\t{one.scope}")


@client.command("remove")
@click.argument("client_id")
def remove(client_id: str) -> None:
    """And all that it was granted: its tokens count no more."""
    with running() as services:
        remove_client(authorization_of(services), client_id)
    click.echo(f"{client_id} is removed.")


@click.group()
def user() -> None:
    """Add, list and remove the people who may log in, and set their passwords."""


PASSWORD = click.option(
    "--password-file",
    type=click.File("r"),
    help="Of which the first line is the password (- is stdin); else it is asked for",
)


@user.command("add")
@click.argument("name")
@click.option("--role", "roles", multiple=True, required=True, type=click.Choice(sorted(ROLES)))
@click.option("--fhir-user", default="", help="Who it is, as Practitioner/ID")
@click.option("--patient", default="", help="Id of the own Patient, of the role patient")
@PASSWORD
def add_user(
    name: str,
    roles: tuple[str, ...],
    fhir_user: str,
    patient: str,
    password_file: TextIO | None,
) -> None:
    """Let somebody log in; a name never means somebody else later."""
    with running() as services:
        sessions_of(services).add_account(
            name,
            asked_password(password_file),
            frozenset(roles),
            fhir_user=fhir_user,
            patient=patient,
        )
    click.echo(f"{name} may log in.")


def asked_password(file: TextIO | None) -> str:
    """Never an option: other users of a machine see those."""
    if file is not None:
        return str(file.readline()).rstrip("\r\n")
    return str(click.prompt("Password", hide_input=True, confirmation_prompt=True))


@user.command("list")
def list_users() -> None:
    """One a line: name, roles, who it is."""
    with running() as services:
        for one in sessions_of(services).accounts():
            own = f"Patient/{one.patient}" if one.patient else ""
            click.echo(f"{one.name}\t{' '.join(sorted(one.roles))}\t{one.fhir_user or own}")


@user.command("password")
@click.argument("name")
@PASSWORD
def set_password(name: str, password_file: TextIO | None) -> None:
    """Set a new password; sessions and what apps were granted end."""
    with running() as services:
        sessions_of(services).set_password(name, asked_password(password_file))
    click.echo(f"The password of {name} is set.")


@user.command("remove")
@click.argument("name")
def remove_user(name: str) -> None:
    """Let somebody log in no more; sessions and what apps were granted end."""
    with running() as services:
        sessions_of(services).set_password(name, None)
    click.echo(f"{name} is removed.")


@click.group()
def keys() -> None:
    """The keys that sign access tokens."""


@keys.command("rotate")
def rotate() -> None:
    """Sign with a new key; the old one is published until its tokens are over."""
    with running() as services:
        click.echo(f"{authorization_of(services).keys.rotate()} signs from now on.")
