"""Ids joined to one person, and parted again: who answers is folded and judged at once, the others are left alone."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

from services.churn.models import application as models
from services.churn.policies import application as policies
from services.churn.scoring import store
from services.churn.scoring.announcing import Ground, announcements
from services.churn.scoring.application import Scoring, complaints_of, values
from services.churn.scoring.domain import Base, score
from services.churn.scoring.reasons import reasons_of
from services.churn.scoring.statistics import Statistics
from services.churn.scoring.store import Held
from services.churn.scoring.verdicts import Standing, judge
from shared.db import Tx
from shared.messaging import merges, outbox
from shared.messaging.events import Event
from shared.messaging.intake import Outcome
from shared.messaging.merges import Groups
from shared.messaging.outbox import Outgoing


@dataclass(frozen=True, slots=True)
class Merging:
    """A person's statistics stand in the row of the id that answers for him; the rows of his other ids are folded over
    nothing, and keep the band they had, from which an undo has them judged again."""

    scoring: Scoring

    async def apply(self, tx: Tx, events: Sequence[Event]) -> Outcome:
        """Takes merges and undos in, in any order."""
        concerned = sorted(await merges.apply(tx, "churn", events, self.scoring.clock.now()))
        groups = await merges.groups_of(tx, concerned)
        held = await store.lock(tx, concerned)
        persons = sorted({groups.survivor(id) for id in concerned})
        folded = await self.scoring.fold_whole(tx, await complaints_of(tx, persons, groups), groups)
        await store.save(tx, {id: folded.get(id, Statistics()) for id in concerned})
        await store.join(tx, {id: groups.survivor(id) != id for id in concerned})
        await store.note_loaded(
            tx, sorted({groups.survivor(id) for id, one in held.items() if one.loaded}), loaded=True
        )
        # A base that fills is not scored half-way, by a merge neither.
        if any(one.published is not None for one in held.values()):
            loaded = _loaded(persons, groups, held, await store.history_alone(tx, concerned))
            await self._judge(tx, folded, _standing(persons, groups, held), _causes(persons, groups, events), loaded)
        return Outcome()

    async def _judge(
        self,
        tx: Tx,
        folded: Mapping[str, Statistics],
        standing: Standing,
        causes: Mapping[str, Event],
        loaded: Container[str],
    ) -> None:
        scoring, persons = self.scoring, sorted(folded)
        model, policy = await models.active(tx), (await policies.current(tx)).policy
        ground = Ground(model.version, policy.horizon_days, scoring.house.currency, "rescored", scoring.clock.now())
        today = scoring.today(ground.at)
        base = Base.from_statistics([folded[person] for person in persons])
        verdicts = judge(persons, standing, score(base, model.params, await values(tx, model), policy, today), policy)
        if not verdicts:
            return
        risen = [verdict.customer_id for verdict in verdicts if verdict.rose]
        told = reasons_of([folded[person] for person in risen], model.params, policy, today) if risen else []
        reasons = dict(zip(risen, told, strict=True))
        await store.write(tx, verdicts, ground)
        events = [
            Outgoing(data, by.traceparent, verdict.customer_id in loaded)
            for verdict in verdicts
            for by in (causes[verdict.customer_id],)
            for data in announcements(verdict, reasons.get(verdict.customer_id, ()), by.cause, ground)
        ]
        await outbox.append(tx, "churn", events, ground.at)


def _standing(persons: Sequence[str], groups: Groups, held: Mapping[str, Held]) -> Standing:
    """Where persons stood in the eyes of others: as high as the highest of the ids now joined, so that a risk told of
    one of them isn't told again of another. What was joined before has nothing to add."""
    bands, published = [], []
    for person in persons:
        before = max(held[id].band for id in groups.members(person) if id == person or not held[id].joined)
        bands.append(before)
        # Whoever goes by the scores of this id alone must learn of a band that came from another.
        published.append(held[person].published if held[person].band == before else None)
    return Standing.never_listed(bands, published)


def _loaded(persons: Sequence[str], groups: Groups, held: Mapping[str, Held], alone: Mapping[str, bool]) -> set[str]:
    """Of whom history tells: nothing live is known of him, or he is joined to history loaded since it was scored.
    ``alone``: whether all that is known of an id was loaded."""
    known = {person: [id for id in groups.members(person) if id in alone] for person in persons}
    return {
        person
        for person, ids in known.items()
        if ids and (all(alone[id] for id in ids) or any(alone[id] and held[id].loaded for id in ids))
    }


def _causes(persons: Sequence[str], groups: Groups, events: Sequence[Event]) -> dict[str, Event]:
    named = {groups.survivor(id): event for event in events for id in (event.data.from_id, event.data.into_id)}
    return dict.fromkeys(persons, events[-1]) | named
