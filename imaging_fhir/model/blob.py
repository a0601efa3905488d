"""A content that is kept: known by its hash, which is never an id, an ETag or an address."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    sha256: str  # 64 hex digits
    size: int  # bytes
    generation: int = 0  # grows when a content is written anew after clean-up
