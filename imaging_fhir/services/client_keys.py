"""The public keys that clients show themselves by: given with the client, or at its `jwks_uri`."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import urlsplit

from imaging_fhir.channel.fetch import Fetcher
from imaging_fhir.errors import Unauthenticated
from imaging_fhir.model.authorization import Client
from imaging_fhir.services.issuer_keys import FixedKeys, RemoteKeys
from imaging_fhir.services.tokens import Keys
from imaging_fhir.smart.access_token import Key, KeyUnknown, public_keys

T = TypeVar("T")
MOST = 1000  # clients whose keys are remembered


@dataclass(slots=True)
class ClientKeys:
    lock: threading.Lock = field(default_factory=threading.Lock)
    remote: dict[tuple[str, str], RemoteKeys] = field(default_factory=dict)

    def checked(self, client: Client, check: Callable[[Sequence[Key]], T]) -> T:
        """Once more with new keys where the client may have others by now.

        Raise Unauthenticated, IssuerUnavailable.
        """
        keys = self.of(client)
        known = keys.current()
        try:
            return check(known)
        except KeyUnknown:
            return check(keys.renewed(known))

    def of(self, client: Client) -> Keys:
        """Raise Unauthenticated."""
        if client.jwks is not None:
            return FixedKeys(public_keys(client.jwks))
        if not client.jwks_uri:
            raise Unauthenticated("The client has no key.", error="invalid_token")
        with self.lock:
            name = (client.id, client.jwks_uri)
            if name not in self.remote:
                if len(self.remote) >= MOST:
                    self.remote.clear()
                self.remote[name] = remote_keys(client)
            return self.remote[name]


def remote_keys(client: Client) -> RemoteKeys:
    """Whoever registered by themselves leads nowhere that is not public."""
    host = urlsplit(client.jwks_uri).hostname or ""
    hosts = frozenset[str]() if client.is_self_registered else frozenset({host})
    return RemoteKeys(Fetcher(hosts), lambda: client.jwks_uri, issuer=client.id)
