"""The shop's own segments as they were written, a row a version."""

from collections.abc import Sequence
from datetime import datetime

from services.profile.segments.facts import FROM_CONTACTS, FROM_ORDERS, FROM_STANDING
from shared.db import Row, Tx, execute, fetch

_DEFINITIONS = """
SELECT DISTINCT ON (name) name, version, title, CAST(rule AS text) AS rule, created_at
FROM segments ORDER BY name, version DESC
"""
_DEFINE = """
INSERT INTO segments (name, version, title, rule, reads_standing, reads_contacts, reads_orders, created_at)
VALUES (:name, :version, :title, CAST(:rule AS jsonb), :standing, :contacts, :orders, :now)
"""
_FORGET_READS = """
UPDATE segments SET reads_standing = false, reads_contacts = false, reads_orders = false
WHERE name = :name AND version < :version
"""


async def newest(tx: Tx) -> Sequence[Row]:
    """The newest version of each of the shop's own segments, by name; ``rule`` in JSON."""
    return await fetch(tx, _DEFINITIONS)


async def add(
    tx: Tx, name: str, version: int, title: str | None, rule: str, now: datetime, reads: frozenset[str]
) -> None:
    """Writes a version of an own segment, and what it reads that changes often; of older ones nobody asks any more."""
    await execute(
        tx,
        _DEFINE,
        name=name,
        version=version,
        title=title,
        rule=rule,
        standing=not reads.isdisjoint(FROM_STANDING),
        contacts=not reads.isdisjoint(FROM_CONTACTS),
        orders=not reads.isdisjoint(FROM_ORDERS),
        now=now,
    )
    await execute(tx, _FORGET_READS, name=name, version=version)
