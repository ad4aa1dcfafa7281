"""The shop's own segments: their rules, by version."""

from functools import lru_cache

import msgspec

from services.profile.segments import store
from services.profile.segments.domain import Segment
from services.profile.segments.rules import Rule, read_rule
from shared.db import Tx


async def own(tx: Tx) -> list[Segment]:
    """The newest version of each, by name."""
    return [Segment(row["name"], row["version"], _read(row["rule"])) for row in await store.definitions(tx)]


@lru_cache(maxsize=1024)
def _read(rule: str) -> Rule:
    return read_rule(msgspec.json.decode(rule))
