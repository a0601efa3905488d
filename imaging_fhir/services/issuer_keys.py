"""The public keys of a trusted issuer, from a file."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from imaging_fhir.errors import InvalidSetting
from imaging_fhir.smart.access_token import Key, public_keys


@dataclass(frozen=True, slots=True)
class FixedKeys:
    """Keys that do not change while the service runs."""

    keys: Sequence[Key]

    @classmethod
    def of_file(cls, path: str) -> "FixedKeys":
        """A JWKS; raise InvalidSetting."""
        try:
            keys = public_keys(json.loads(Path(path).read_bytes()))
        except (OSError, ValueError) as error:
            raise InvalidSetting(f"token_issuers: jwks_file {path} cannot be read.") from error
        if not keys:
            raise InvalidSetting(f"token_issuers: jwks_file {path} has no key to check with.")
        return cls(keys)

    def current(self) -> Sequence[Key]:
        return self.keys

    def renewed(self) -> Sequence[Key]:
        return self.keys
