"""What became of the demo's purchases: asked of the services' APIs, with one SQL a total where there is no route."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from deploy.demo.house_api import Account, AtRisk, Contact, Customer, Entry, HouseApi, Verification, connected
from deploy.system import System
from shared.contracts.topics import SERVICES
from shared.db import Database, fetch
from shared.messaging import dead_letters

WEEK = timedelta(days=7)
MOST_AT_RISK = 10

_APPLIED = "SELECT count(DISTINCT key) AS n FROM facts WHERE kind = 'purchase-recorded'"
_OF_THE_RUN = "SELECT count(DISTINCT key) AS n FROM facts WHERE kind = 'purchase-recorded' AND key = ANY(:orders)"
_CUSTOMERS = "SELECT count(DISTINCT customer_id) AS n FROM facts WHERE kind = 'purchase-recorded'"
_DERIVED = "SELECT coalesce(sum(last), 0) AS n FROM sequences"
_POINTS = "SELECT coalesce(sum(points), 0) AS n FROM lots"
_TIERS = """
SELECT tiers.tier, count(*) AS n FROM accounts LEFT JOIN tiers USING (account_id) GROUP BY tiers.tier ORDER BY n DESC
"""


@dataclass(frozen=True, slots=True)
class ServiceFigures:
    """One service: ``received``, ``duplicates`` in this run; the rest so far. ``missing``: of this run's purchases."""

    received: int
    applied: int
    missing: int
    duplicates: int
    dead_letters: int
    derived: int


@dataclass(frozen=True, slots=True)
class Story:
    """One customer, whole; ``entries`` newest first."""

    customer: Customer
    account: Account
    entries: Sequence[Entry]


@dataclass(frozen=True, slots=True)
class Findings:
    """The state of the house after a demo. Points: awarded so far. ``contacts``: all that are planned, by due time."""

    services: dict[str, ServiceFigures]
    customers: int
    points_issued: int
    tiers: Counter[str]
    ledger: Verification
    at_risk: Sequence[AtRisk]
    contacts: Sequence[Contact]
    story: Story | None

    @property
    def dead_letters(self) -> int:
        return sum(figures.dead_letters for figures in self.services.values())

    def problems(self) -> list[str]:
        """What is not as it should be, in words; empty when all is well."""
        found = [
            f"{name} has not applied {figures.missing:,} of the purchases that were published"
            for name, figures in self.services.items()
            if figures.missing
        ]
        if self.dead_letters:
            found.append(f"{self.dead_letters:,} dead letters: ./roost dead-letters list tells why")
        if not self.ledger.ok:
            found.append("the points ledger does not balance: GET /loyalty/ledger/verification tells where")
        return found


async def find(system: System, orders: Sequence[str]) -> Findings:
    """Asks everybody. ``orders``: what this run published."""
    figures: dict[str, ServiceFigures] = {name: await _of_service(system, name, orders) for name in SERVICES}
    loyalty = system.databases["loyalty"]
    async with loyalty.transaction() as tx:
        tiers = Counter({row["tier"] or "none": int(row["n"]) for row in await fetch(tx, _TIERS)})
    async with connected(system.url, system.token) as api:
        at_risk = await api.pages("/churn/at-risk", AtRisk, order="value_at_risk")
        contacts = await api.pages("/engagement/contacts", Contact, status="planned")
        known = dict.fromkeys([risky.customer_id for risky in at_risk] + [due.customer_id for due in contacts])
        return Findings(
            services=figures,
            customers=await _count(system.databases["profile"], _CUSTOMERS),
            points_issued=await _count(loyalty, _POINTS),
            tiers=tiers,
            ledger=await api.verified(),
            at_risk=at_risk,
            contacts=contacts,
            story=await _story(api, list(known)[:MOST_AT_RISK]),
        )


async def _story(api: HouseApi, customers: Sequence[str]) -> Story | None:
    """The story with the most kinds of events, then with the most events."""
    if not customers:
        return None
    timelines = {id: await api.pages(f"/profile/customers/{id}/timeline", Entry) for id in customers}
    chosen = max(timelines, key=lambda id: (len({entry.kind for entry in timelines[id]}), len(timelines[id])))
    return Story(
        customer=await api.get(f"/profile/customers/{chosen}", Customer),
        account=await api.get(f"/loyalty/accounts/{chosen}", Account),
        entries=timelines[chosen],
    )


async def _of_service(system: System, name: str, orders: Sequence[str]) -> ServiceFigures:
    db, counts = system.databases[name], system.services[name].intake.counts
    async with db.transaction() as tx:
        letters = await dead_letters.count(tx)
    return ServiceFigures(
        received=counts.total(),
        applied=await _count(db, _APPLIED),
        missing=len(orders) - await _count(db, _OF_THE_RUN, orders=list(orders)),
        duplicates=counts["duplicate"],
        dead_letters=letters,
        derived=await _count(db, _DERIVED),
    )


async def _count(db: Database, sql: str, **params: object) -> int:
    async with db.transaction() as tx:
        return int((await fetch(tx, sql, **params))[0]["n"])
