"""Clients are registered: by the operator, or where the site lets them, by themselves."""

from dataclasses import replace

from imaging_fhir.errors import InvalidRequest
from imaging_fhir.model.authorization import CLIENT_CREDENTIALS, Client
from imaging_fhir.services.authorization import Authorization, digest, new_secret
from imaging_fhir.smart.client import require_valid
from imaging_fhir.smart.roles import words
from imaging_fhir.storage import authorization as kept
from imaging_fhir.storage.database import Transaction


def register_client(
    authorization: Authorization, client: Client, *, by_itself: bool = False
) -> tuple[Client, str | None]:
    """As it is kept, and its secret where it has one, which is never shown again.

    Raise InvalidRequest. Whoever registers by themselves gets no back end: nobody said what for.
    """
    require_valid(client)
    is_of_system = any(scope.startswith("system/") for scope in words(client.scope))
    if by_itself and (CLIENT_CREDENTIALS in client.grant_types or is_of_system):
        raise InvalidRequest("A back end is registered by the operator.")
    secret = new_secret() if client.auth_method == "client_secret_basic" else None
    registered = replace(
        client, is_self_registered=by_itself, secret=digest(secret) if secret else None
    )

    def unit(transaction: Transaction) -> bool:
        if kept.find_client(transaction.connection, client.id) is not None:
            return False
        kept.put_client(transaction, registered)
        return True

    if not authorization.database.write(unit):
        raise InvalidRequest(f"There is a client {client.id} already.")
    return registered, secret


def remove_client(authorization: Authorization, client_id: str) -> None:
    """Raise InvalidRequest."""
    if not authorization.database.write(lambda unit: kept.remove_client(unit, client_id)):
        raise InvalidRequest(f"There is no client {client_id}.")
