"""Who read personal data: whose, by which route, for what purpose, when. No data themselves."""

from datetime import datetime

import msgspec


class Access(msgspec.Struct, frozen=True):
    """An answer that showed personal data. ``subject`` and ``scope`` are the token's; ``purpose`` what he who asked
    said of it."""

    at: datetime
    subject: str
    scope: str
    route: str
    purpose: str | None
    request_id: str


class Kept(msgspec.Struct, frozen=True):
    """An access as it stands in the record."""

    access_id: int
    access: Access
