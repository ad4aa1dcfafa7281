"""A file that is stored and not used (PIPL, article 47; GDPR, article 18)."""

from datetime import datetime

import msgspec


class Restriction(msgspec.Struct, frozen=True):
    """Since when a file is restricted, why, and who said so: None for whom that is no business of."""

    customer_id: str
    reason: str
    restricted_by: str | None
    restricted_at: datetime
