"""An erasure: asked for, on its way through the services, and attested."""

from collections.abc import Mapping
from datetime import datetime

import msgspec

from shared.contracts.topics import SERVICES


class Policy(msgspec.Struct, frozen=True):
    """``deadline_days``: how long a person waits at most, whose right it is (15 working days in China, a month in the
    EU: the shorter one holds for everybody unless a shop says otherwise)."""

    deadline_days: int
    version: int = 0

    def __post_init__(self) -> None:
        if self.deadline_days < 1:
            raise ValueError("a deadline is a day away or more")


class Acknowledgement(msgspec.Struct, frozen=True):
    """A service has destroyed what it had; ``counts`` are rows by table."""

    service: str
    applied_at: datetime
    counts: dict[str, int]


class ErasureFile(msgspec.Struct, frozen=True):
    """An erasure as it stands. Ids, reason and ``requested_by`` are empty once it is completed."""

    erasure_id: str
    customer_ids: tuple[str, ...]
    digests: tuple[bytes, ...]
    reason: str | None
    requested_by: str | None
    entered_by: str
    requested_at: datetime
    deadline_at: datetime
    policy_version: int
    completed_at: datetime | None
    receipt: str | None
    acknowledgements: tuple[Acknowledgement, ...] = ()

    @property
    def missing(self) -> list[str]:
        """The services that haven't answered yet."""
        answered = {one.service for one in self.acknowledgements}
        return [service for service in SERVICES if service not in answered]

    def is_overdue(self, now: datetime) -> bool:
        """Whether the deadline has passed, and somebody hasn't answered."""
        return self.completed_at is None and now >= self.deadline_at


def claims(erasure: ErasureFile, completed_at: datetime) -> Mapping[str, object]:
    """What a receipt says: nothing of who it was but the keyed hashes of his ids."""
    return {
        "iss": "/roost/profile",
        "sub": erasure.erasure_id,
        "iat": int(completed_at.timestamp()),
        "subjects": [digest.hex() for digest in erasure.digests],
        "requested_at": erasure.requested_at.isoformat(),
        "deadline_at": erasure.deadline_at.isoformat(),
        "completed_at": completed_at.isoformat(),
        "services": [
            {"service": one.service, "applied_at": one.applied_at.isoformat(), "counts": one.counts}
            for one in sorted(erasure.acknowledgements, key=lambda one: one.service)
        ],
    }
