"""Events into statistics; and whoever is at risk and buys is judged again at once."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

import msgspec

from services.churn.models import application as models
from services.churn.models.gamma_gamma import GammaGamma
from services.churn.models.versions import ModelVersion
from services.churn.policies import application as policies
from services.churn.scoring import store
from services.churn.scoring.announcing import Ground, announcements
from services.churn.scoring.domain import Base, Scores, score
from services.churn.scoring.orders import fact_of, fact_of_purchase
from services.churn.scoring.statistics import Statistics, apply, day_of, fold, is_late
from services.churn.scoring.store import Held
from services.churn.scoring.verdicts import Standing, judge
from shared.clock import Clock
from shared.contracts.behaviour import FeedbackReceived
from shared.contracts.purchases import PurchaseRecorded
from shared.db import Tx
from shared.messaging import facts, outbox
from shared.messaging.events import Event
from shared.messaging.facts import Recorded
from shared.messaging.intake import Outcome
from shared.messaging.outbox import Outgoing
from shared.settings import HouseSettings


@dataclass(frozen=True, slots=True)
class Scoring:
    """Keeps each customer's statistics by his facts. All other scoring than that of ``apply`` is a job's."""

    house: HouseSettings
    clock: Clock

    def today(self, at: datetime | None = None) -> int:
        """The ordinal of the day in the house's zone: of the clock's now unless said otherwise."""
        return day_of(at or self.clock.now(), self.house.zone)

    async def apply(self, tx: Tx, events: Sequence[Event]) -> Outcome:
        """Takes purchases, returns, cancellations, deliveries, activities and feedback in, in any order."""
        recorded = await facts.record(tx, events)
        customers = sorted({*recorded.customers, *(event.data.customer_id for event in recorded.fresh)})
        if customers:
            held = await store.lock(tx, customers)
            folded = await self._fold(tx, recorded, held)
            changed = {id: state for id, state in folded.items() if state != held[id].statistics}
            if changed:
                await store.save(tx, changed)
            await self._lower(tx, recorded, held, folded)
        return Outcome(duplicates=recorded.duplicates, rejected=recorded.conflicts)

    async def base(self, tx: Tx) -> Base:
        """The statistics of every customer as vectors."""
        return await store.base(tx)

    async def state_hash(self, tx: Tx, at: datetime) -> str:
        """SHA-256 over the facts, the statistics, and the scores at an instant by the active model: equal for equal
        sets of events, whatever their order and repetition."""
        known, states = await store.everything(tx)
        model, policy = await models.active(tx), (await policies.current(tx)).policy
        base = Base.from_statistics(list(states.values()))
        scores = score(base, model.params, await values(tx, model), policy, self.today(at))
        computed = [repr(getattr(scores, name).tolist()) for name in Scores.__slots__]
        return sha256(msgspec.json.encode((known, sorted(states.items()), computed))).hexdigest()

    async def _fold(self, tx: Tx, recorded: Recorded, held: Mapping[str, Held]) -> dict[str, Statistics]:
        zone, currency = self.house.zone, self.house.currency
        refold = set(recorded.refold)
        folded: dict[str, Statistics] = {}
        for customer, purchases in recorded.plain.items():
            state = held[customer].statistics
            for event in purchases:
                fact = fact_of_purchase(event.data, event.source, event.id, currency)
                if customer in refold or is_late(state, fact, zone):
                    refold.add(customer)
                    break
                state = apply(state, fact, zone)
            else:
                folded[customer] = state
        if refold:
            for customer, orders in (await facts.orders_of(tx, refold)).items():
                whole = [fact_of(order, currency) for order in orders]
                folded[customer] = fold(whole, zone, open_complaints=held[customer].statistics.open_complaints)
        for customer, more in _complaints(recorded).items():
            state = folded.get(customer, held[customer].statistics)
            folded[customer] = msgspec.structs.replace(state, open_complaints=state.open_complaints + more)
        return folded

    async def _lower(
        self, tx: Tx, recorded: Recorded, held: Mapping[str, Held], folded: Mapping[str, Statistics]
    ) -> None:
        bought = _newest_purchases(recorded)
        ids = sorted(id for id in bought if held[id].band)
        if not ids:
            return
        model, policy = await models.active(tx), (await policies.current(tx)).policy
        base = Base.from_statistics([folded.get(id, held[id].statistics) for id in ids])
        scores = score(base, model.params, await values(tx, model), policy, self.today())
        standing = Standing.never_listed([held[id].band for id in ids], [held[id].published for id in ids])
        lowered = [verdict for verdict in judge(ids, standing, scores, policy) if verdict.fell]
        if not lowered:
            return
        ground = Ground(model.version, policy.horizon_days, self.house.currency, "purchase", self.clock.now())
        await store.write(tx, lowered, ground)
        events = [
            Outgoing(data, bought[verdict.customer_id].traceparent)
            for verdict in lowered
            for data in announcements(verdict, [], bought[verdict.customer_id].cause, ground)
        ]
        await outbox.append(tx, "churn", events, ground.at)


async def values(tx: Tx, model: ModelVersion) -> GammaGamma:
    """What a purchase is worth by the model; the base is asked for its mean only where no fit has told."""
    return model.values(None if model.purchase_value else await store.mean_value(tx))


def _complaints(recorded: Recorded) -> Counter[str]:
    return Counter(
        event.data.customer_id
        for event in recorded.fresh
        if isinstance(event.data, FeedbackReceived) and event.data.kind == "complaint"
    )


def _newest_purchases(recorded: Recorded) -> dict[str, Event]:
    purchases = [event for event in recorded.fresh if isinstance(event.data, PurchaseRecorded)]
    purchases.sort(key=lambda event: (event.data.occurred_at, event.source, event.id))
    return {event.data.customer_id: event for event in purchases}
