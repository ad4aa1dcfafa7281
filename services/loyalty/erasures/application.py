"""What loyalty destroys of an erased person: who the accounts were. The ledger stays, and sums to zero as before."""

from services.loyalty.adjustments import application as adjustments
from services.loyalty.coupons import application as coupons
from services.loyalty.enrolments import application as enrolments
from services.loyalty.erasures import store
from services.loyalty.occasions import celebrations
from services.loyalty.referrals import marks as referrals
from services.loyalty.segments import application as segments
from services.loyalty.statements import application as statements
from services.loyalty.transfers import application as transfers
from shared.db import Tx
from shared.messaging.erasures import Counts, Erasure


async def destroy(tx: Tx, erasure: Erasure) -> Counts:
    """Gives accounts and coupons the names that the orders are kept under, and voids what is open of coupons.

    Accounts and orders are folded together as before."""
    return {
        "enrolments": await enrolments.forget(tx, erasure.ids),
        "accounts_kept_nameless": await store.rename(tx, erasure.names),
        "reasons_deleted": await store.forget_reasons(tx, erasure.names),
        "segments_deleted_or_kept_nameless": await segments.forget(tx, erasure.names),
        "adjustments_kept_without_reason": await adjustments.forget(tx, sorted(erasure.names.values()), erasure.now),
        "transfers_kept_without_reason": await transfers.forget(tx, erasure.names),
        "celebrations": await celebrations.forget(tx, erasure.ids, sorted(erasure.names.values())),
        "statements_deleted": await statements.forget(tx, sorted(erasure.names.values())),
        "referrals_kept_nameless": await referrals.forget(tx, erasure.names),
        "coupons_kept_nameless": await coupons.forget(tx, erasure.names, erasure.now),
    }
