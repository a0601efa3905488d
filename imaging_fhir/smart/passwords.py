"""Passwords are kept as argon2id hashes, and nothing is said of how one is wrong."""

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from imaging_fhir.errors import InvalidRequest

LEAST, MOST = 12, 256  # characters
HASHER = PasswordHasher()  # RFC 9106, the second recommended option
NOBODY = HASHER.hash("nobody has this password")  # so that an unknown name takes as long


def hashed(password: str) -> str:
    """Raise InvalidRequest for one that is too short or too long."""
    if not LEAST <= len(password) <= MOST:
        raise InvalidRequest(f"A password has {LEAST} to {MOST} characters.")
    return HASHER.hash(password)


def is_right(kept: str | None, password: str) -> bool:
    try:
        HASHER.verify(kept or NOBODY, password[: MOST + 1])
    except (VerificationError, InvalidHashError):
        return False
    return kept is not None
