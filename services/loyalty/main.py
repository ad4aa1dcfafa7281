"""The wiring of loyalty."""

from services.loyalty import jobs as jobs_
from services.loyalty.accounts import http as accounts_http
from services.loyalty.accounts.application import Accounts
from services.loyalty.adjustments import http as adjustments_http
from services.loyalty.adjustments.application import Adjustments
from services.loyalty.consumers import use_cases
from services.loyalty.coupons import http as coupons_http
from services.loyalty.coupons.application import Coupons, CouponSweeper
from services.loyalty.coupons.domain import CouponRefused
from services.loyalty.earning.application import Earning
from services.loyalty.effects import http as effects_http
from services.loyalty.effects.application import EffectRefusedError, Effects
from services.loyalty.enrolments import http as enrolments_http
from services.loyalty.enrolments.application import Enrolments
from services.loyalty.erasures.application import destroy
from services.loyalty.expiring.application import ExpiryWarner
from services.loyalty.exports import http as exports_http
from services.loyalty.ledger import http as ledger_http
from services.loyalty.ledger.application import SERVICE
from services.loyalty.ledger.replays import Replays
from services.loyalty.ledger.sweeping import Sweeper
from services.loyalty.liability import http as liability_http
from services.loyalty.liability.application import Liabilities
from services.loyalty.merges.application import Joining
from services.loyalty.occasions.application import Occasions
from services.loyalty.occasions.celebrations import Celebrations
from services.loyalty.privileges import http as privileges_http
from services.loyalty.privileges.application import Privileges
from services.loyalty.programmes import http as programmes_http
from services.loyalty.programmes.application import Programmes
from services.loyalty.redemptions import http as redemptions_http
from services.loyalty.redemptions.application import Redemptions
from services.loyalty.redemptions.desk import Desk
from services.loyalty.redemptions.keeping import HoldKeeper
from services.loyalty.redemptions.teller import Teller
from services.loyalty.referrals import http as referrals_http
from services.loyalty.referrals.application import Referrals
from services.loyalty.referrals.judging import ReferralKeeper
from services.loyalty.rewards import http as rewards_http
from services.loyalty.rewards.application import Rewards
from services.loyalty.rewards.domain import Refused
from services.loyalty.settings import LoyaltySettings
from services.loyalty.simulations import http as simulations_http
from services.loyalty.simulations.application import Simulations
from services.loyalty.simulations.backtests import Backtesting, Backtests
from services.loyalty.statements import http as statements_http
from services.loyalty.statements.application import Statements
from services.loyalty.tiers import http as tiers_http
from services.loyalty.tiers.application import TierKeeper
from services.loyalty.tiers.preview import TierPreview
from services.loyalty.transfers import http as transfers_http
from services.loyalty.transfers.application import Transfers
from shared.db import Database
from shared.messaging.erasures import Erasing
from shared.messaging.facts import ORDER_KINDS
from shared.service import Service, Surroundings, Wake, assemble


def build(surroundings: Surroundings, settings: LoyaltySettings) -> Service:
    """The service, ready to be started and mounted."""
    clock = surroundings.clock
    dsn = settings.database_url.get_secret_value()
    db = Database(dsn, pool_size=settings.pool_size, application_name=f"roost-{SERVICE}")
    wake = Wake()
    programmes = Programmes(clock, surroundings.house.currency, surroundings.house.zone)
    earning = Earning(clock, programmes, surroundings.house.zone)
    accounts = Accounts(clock, programmes, earning)
    joining = Joining(clock, programmes)
    erasing = Erasing(SERVICE, surroundings.erased, clock, destroy, joining.apply_merges, keeps=ORDER_KINDS)
    occasions = Occasions(clock, programmes, surroundings.house.zone, surroundings.erased.key)
    celebrations = Celebrations(db, occasions, wake)
    # Of their own, so that who waits for a customer's lock keeps nobody from reading.
    commands = Database(
        dsn, pool_size=settings.pool_size, application_name=f"roost-{SERVICE}-commands", planned_once=True
    )
    teller = Teller(commands, Desk(clock, programmes, surroundings.house.zone))
    backtesting = Backtesting(db, dsn, clock, surroundings.house)
    service = assemble(
        SERVICE,
        db=db,
        surroundings=surroundings,
        use_cases=use_cases(
            earning, joining, erasing, Replays(clock, surroundings.house.currency), occasions, celebrations
        ),
        jobs=jobs_.jobs(
            Sweeper(db, clock, wake),
            TierKeeper(db, clock, programmes, wake),
            backtesting,
            CouponSweeper(db, clock),
            HoldKeeper(db, clock, wake),
            celebrations,
            ReferralKeeper(db, clock, programmes, surroundings.house.zone, surroundings.erased.key, wake),
            ExpiryWarner(db, clock, programmes, surroundings.house.zone, wake),
        ),
        routers=[
            programmes_http.router(db, programmes),
            accounts_http.router(db, clock, accounts),
            privileges_http.router(db, Privileges(clock, programmes)),
            tiers_http.router(TierPreview(db, clock, programmes)),
            enrolments_http.router(db, Enrolments(clock, surroundings.house.zone, surroundings.erased)),
            ledger_http.router(db),
            liability_http.router(
                db, clock, Liabilities(programmes, surroundings.house.zone, surroundings.house.currency)
            ),
            simulations_http.router(db, Simulations(clock, programmes, earning), Backtests(clock, programmes)),
            statements_http.router(
                db, Statements(clock, surroundings.house.zone, surroundings.secret_for("statements"))
            ),
            referrals_http.router(db, Referrals(clock, surroundings.erased.key)),
            effects_http.router(db, Effects(clock, programmes, surroundings.house.currency)),
            exports_http.router(db, clock),
            rewards_http.router(db, Rewards(clock, programmes, surroundings.house.zone)),
            adjustments_http.router(
                db, Adjustments(clock, programmes, surroundings.house.zone, settings.adjustment_threshold)
            ),
            transfers_http.router(
                db, Transfers(clock, programmes, surroundings.house.zone), by_customers=settings.customers_transfer
            ),
            redemptions_http.router(db, Redemptions(clock), teller),
            coupons_http.router(db, Coupons(clock, surroundings.house.zone), surroundings.erased, wake),
        ],
        wake=wake,
        domain_errors={
            Refused: rewards_http.refused,
            CouponRefused: coupons_http.refused,
            EffectRefusedError: effects_http.refused,
            **adjustments_http.ERRORS,
            **redemptions_http.ERRORS,
            **transfers_http.ERRORS,
        },
        inbox_days=settings.inbox_days,
    )
    service.closing.append(commands.close)
    return service
