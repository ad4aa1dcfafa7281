"""Periodic work of loyalty."""

from datetime import timedelta

from services.loyalty.coupons.application import CouponSweeper
from services.loyalty.expiring.application import ExpiryWarner
from services.loyalty.ledger.sweeping import Sweeper
from services.loyalty.occasions.celebrations import Celebrations
from services.loyalty.redemptions.keeping import HoldKeeper
from services.loyalty.referrals.judging import ReferralKeeper
from services.loyalty.simulations.backtests import Backtesting
from services.loyalty.tiers.application import TierKeeper
from shared.jobs import Job


def jobs(
    sweeper: Sweeper, tiers: TierKeeper, backtesting: Backtesting, coupons: CouponSweeper, holds: HoldKeeper,
    celebrations: Celebrations, referrals: ReferralKeeper, expiring: ExpiryWarner,
) -> list[Job]:
    """Holds that run out, releases and expiries, then what is near them, tiers, coupons; backtests, as asked for."""
    return [
        Job("holds", timedelta(seconds=30), holds.expire, holds.next_expiry),
        Job("overdue", timedelta(minutes=5), holds.tell_overdue, holds.next_overdue),
        Job("sweep", timedelta(seconds=30), sweeper.run, sweeper.next_due),
        Job("expiring", timedelta(minutes=1), expiring.run, expiring.next_due),
        Job("tiers", timedelta(seconds=30), tiers.run, tiers.next_due),
        Job("coupons", timedelta(seconds=30), coupons.run, coupons.next_due),
        Job("celebrations", timedelta(minutes=1), celebrations.run, celebrations.next_due),
        Job("referrals", timedelta(seconds=5), referrals.run, referrals.next_due),
        Job("backtest", timedelta(seconds=2), backtesting.run, backtesting.next_due),
    ]
