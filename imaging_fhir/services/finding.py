"""A disagreement that `imaging-fhir check` has found."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    kind: str  # missing-bytes, wrong-size, wrong-hash, orphan-bytes, wrong-count, …
    subject: str  # a hash, Type/id, table/key, or instance/UID
    repaired: bool = False
