"""Ids joined to one person, and parted again: he is planned anew, and nobody is contacted under two ids."""

from collections.abc import Sequence

from services.engagement.contacts.application import SERVICE, Planner
from services.engagement.customers import application as customers
from services.engagement.triggers import by_event
from shared.clock import Clock
from shared.contracts.merges import CustomerUnmerged
from shared.db import Tx
from shared.messaging import merges
from shared.messaging.events import Event
from shared.messaging.intake import Outcome


class Merging:
    """The use case of merges and undos. No state changes by them: a person is his ids' states put together."""

    def __init__(self, clock: Clock, planner: Planner) -> None:
        self._clock = clock
        self._planner = planner

    async def apply(self, tx: Tx, events: Sequence[Event]) -> Outcome:
        """Takes back what is planned of ids that another one answers for, and plans everybody concerned at once,
        but for who was only loaded.

        An undo takes back all that was planned of the person: some of it may be the other's.
        """
        concerned = sorted(await merges.apply(tx, SERVICE, events, self._clock.now()))
        groups, persons = await customers.lock_groups(tx, concerned)
        triggers = dict.fromkeys(concerned, by_event(events[-1]))
        parted: set[str] = set()
        for event in events:
            ids = {*groups.members(event.data.from_id), *groups.members(event.data.into_id)}
            triggers |= dict.fromkeys(ids, by_event(event))
            if isinstance(event.data, CustomerUnmerged):
                parted |= ids & persons.keys()
        await customers.look_at(tx, dict.fromkeys({*concerned, *persons}, self._clock.now()))
        joined = {id: triggers[id] for id in concerned if id not in persons}
        await self._planner.join(tx, joined)
        await self._planner.part(tx, {id: triggers[id] for id in sorted(parted)})
        planned = await customers.in_planning(tx, persons, self._clock.now())
        await self._planner.plan(tx, [(id, persons[id], triggers[id]) for id in planned], "merged")
        return Outcome()
