"""Events into statistics; and whoever is at risk and buys is judged again at once."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
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
from services.churn.scoring.statistics import PurchaseFact, Statistics, apply, day_of, fold, is_late
from services.churn.scoring.store import Held
from services.churn.scoring.verdicts import Standing, judge
from shared.clock import Clock
from shared.contracts.behaviour import FeedbackReceived
from shared.contracts.purchases import PurchaseRecorded
from shared.db import Tx
from shared.messaging import facts, merges, outbox
from shared.messaging.events import Event
from shared.messaging.facts import Recorded
from shared.messaging.intake import Outcome
from shared.messaging.merges import Groups
from shared.messaging.outbox import Outgoing
from shared.settings import HouseSettings


@dataclass(frozen=True, slots=True)
class Scoring:
    """Keeps each person's statistics by the facts of all his ids, in the row of the one that answers for him. All other
    scoring than that of ``apply`` is a job's, or a merge's."""

    house: HouseSettings
    clock: Clock

    def today(self, at: datetime | None = None) -> int:
        """The ordinal of the day in the house's zone: of the clock's now unless said otherwise."""
        return day_of(at or self.clock.now(), self.house.zone)

    async def apply(self, tx: Tx, events: Sequence[Event]) -> Outcome:
        """Takes purchases, returns, cancellations, deliveries, activities and feedback in, in any order."""
        recorded = await facts.record(tx, events)
        customers = {*recorded.customers, *(event.data.customer_id for event in recorded.fresh)}
        if customers:
            groups = await merges.groups_of(tx, customers)
            held = await store.lock(tx, sorted({groups.survivor(id) for id in customers}))
            folded = await self._fold(tx, recorded, groups, held)
            changed = {id: state for id, state in folded.items() if state != held[id].statistics}
            if changed:
                await store.save(tx, changed)
            # His own id, too: an undo parts him from who answers for him now.
            loaded = {event.data.customer_id for event in recorded.fresh if event.backfill}
            await store.note_loaded(tx, sorted(loaded | {groups.survivor(id) for id in loaded}), loaded=True)
            await self._lower(tx, recorded, groups, held, folded)
        return Outcome(duplicates=recorded.duplicates, rejected=recorded.conflicts)

    async def base(self, tx: Tx) -> Base:
        """The statistics of every customer as vectors."""
        return await store.base(tx)

    async def state_hash(self, tx: Tx, at: datetime) -> str:
        """SHA-256 over the facts, the statistics, and the scores at an instant by the active model: equal for equal
        sets of events, whatever their order and repetition. Who has no facts doesn't count."""
        known, everybody = await store.everything(tx)
        states = {id: state for id, state in everybody.items() if state != Statistics()}
        model, policy = await models.active(tx), (await policies.current(tx)).policy
        base = Base.from_statistics(list(states.values()))
        scores = score(base, model.params, await values(tx, model), policy, self.today(at))
        computed = [repr(getattr(scores, name).tolist()) for name in Scores.__slots__]
        return sha256(msgspec.json.encode((known, sorted(states.items()), computed))).hexdigest()

    async def fold_whole(self, tx: Tx, persons: Mapping[str, int], groups: Groups) -> dict[str, Statistics]:
        """The persons (survivor -> open complaints) folded over the orders of all their ids."""
        currency = self.house.currency
        person_of = {id: person for person in persons for id in groups.members(person)}
        known: dict[str, list[PurchaseFact]] = {person: [] for person in persons}
        for id, orders in (await facts.orders_of(tx, person_of)).items():
            known[person_of[id]] += [fact_of(order, currency) for order in orders]
        return {
            person: fold(known[person], self.house.zone, open_complaints=complaints)
            for person, complaints in persons.items()
        }

    async def _fold(
        self, tx: Tx, recorded: Recorded, groups: Groups, held: Mapping[str, Held]
    ) -> dict[str, Statistics]:
        zone, currency = self.house.zone, self.house.currency
        more_complaints = _complaints(recorded)
        touched = {*recorded.customers, *more_complaints}
        joined = {groups.survivor(id) for id in touched if groups.is_joined(id)}
        refold = {id for id in recorded.refold if not groups.is_joined(id)}
        folded: dict[str, Statistics] = {}
        for customer, purchases in recorded.plain.items():
            if groups.is_joined(customer):
                continue
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
            known = {customer: held[customer].statistics.open_complaints for customer in sorted(refold)}
            folded |= await self.fold_whole(tx, known, groups)
        if joined:
            folded |= await self.fold_whole(tx, await complaints_of(tx, joined, groups), groups)
        for customer, more in more_complaints.items():
            if not groups.is_joined(customer):
                state = folded.get(customer, held[customer].statistics)
                folded[customer] = msgspec.structs.replace(state, open_complaints=state.open_complaints + more)
        return folded

    async def _lower(
        self,
        tx: Tx,
        recorded: Recorded,
        groups: Groups,
        held: Mapping[str, Held],
        folded: Mapping[str, Statistics],
    ) -> None:
        bought = _newest_purchases(recorded, groups)
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


async def complaints_of(tx: Tx, persons: Iterable[str], groups: Groups) -> dict[str, int]:
    """The complaints of each person under any of his ids."""
    person_of = {id: person for person in sorted(persons) for id in groups.members(person)}
    counts = dict.fromkeys(person_of.values(), 0)
    for id, events in (await facts.signs_of(tx, person_of, "feedback-received")).items():
        counts[person_of[id]] += sum(_is_complaint(event) for event in events)
    return counts


def _complaints(recorded: Recorded) -> Counter[str]:
    return Counter(event.data.customer_id for event in recorded.fresh if _is_complaint(event))


def _is_complaint(event: Event) -> bool:
    return isinstance(event.data, FeedbackReceived) and event.data.kind == "complaint"


def _newest_purchases(recorded: Recorded, groups: Groups) -> dict[str, Event]:
    purchases = [event for event in recorded.fresh if isinstance(event.data, PurchaseRecorded)]
    purchases.sort(key=lambda event: (event.data.occurred_at, event.source, event.id))
    return {groups.survivor(event.data.customer_id): event for event in purchases}
