"""Periodic work of loyalty."""

from datetime import timedelta

from services.loyalty.ledger.application import Sweeper
from services.loyalty.tiers.application import TierKeeper
from shared.jobs import Job


def jobs(sweeper: Sweeper, tiers: TierKeeper) -> list[Job]:
    """Releases and expiries, then tiers."""
    return [
        Job("sweep", timedelta(seconds=30), sweeper.run, sweeper.next_due),
        Job("tiers", timedelta(seconds=30), tiers.run, tiers.next_due),
    ]
