"""What churn destroys of an erased person: everything. No figure of the past is made of its rows."""

from shared.db import Tx
from shared.messaging.erasures import Counts, Erasure, bury, delete

TABLES = ("customers", "crossings")


async def destroy(tx: Tx, erasure: Erasure) -> Counts:
    """Statistics, bands and crossings; and the last score on the compacted topic gets a tombstone."""
    counts = await delete(tx, TABLES, erasure)
    await bury(tx, "churn-scored", erasure)
    return counts
