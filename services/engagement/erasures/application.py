"""What engagement destroys of an erased person: everything. A contact that was due is made no more."""

from shared.db import Tx
from shared.messaging.erasures import Counts, Erasure, delete

# Customers first: whoever plans or hands over holds their rows before those of contacts and tasks.
TABLES = ("customers", "contacts", "tasks", "decisions", "feedback")


async def destroy(tx: Tx, erasure: Erasure) -> Counts:
    """State, plans and what became of them, staff's work and notes on it, and every word that the customer wrote."""
    return await delete(tx, TABLES, erasure)
