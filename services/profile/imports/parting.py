"""Merges by rule that stood on what an import said: they go with it."""

from collections.abc import Iterable
from datetime import datetime

import msgspec

from services.profile.identities.application import Identities
from services.profile.identities.domain import Person
from services.profile.identities.grounds import grounds
from services.profile.imports import touched_store
from services.profile.imports.domain import Import, Leftover
from shared.contracts.types import Cause
from shared.db import Tx


class MergesStand(Exception):
    """A merge is to be parted, and the lock of merges isn't held: the transaction is to be done again, and take it
    before any other."""


class Suspects(msgspec.Struct, frozen=True):
    """The merges by rule that an import may have set off.

    ``ids``: all ids of the persons; ``made``: of each merge somebody of whom the import said an address of its kind
    before it was made; ``stood``: those, and what rules made of the same person since, as far as addresses spoke for
    them until the import was taken back."""

    ids: frozenset[str] = frozenset()
    made: dict[str, str] = {}
    stood: frozenset[str] = frozenset()


async def suspects(tx: Tx, job: Import, people: Iterable[Person]) -> Suspects:
    """As long as the import has its say, and the files of these people stand as they are."""
    ids = frozenset(customer for one in people if len(one.ids) > 1 for customer in one.ids)
    known = await grounds(tx, ids)
    if not known.by_address:
        return Suspects()
    person = known.persons()
    said = await touched_store.addresses_said(tx, job, ids)
    made = {
        edge.merge_id: who
        for edge in known.by_address
        for who, kind, since in said
        if person.get(who) == person[edge.from_id] and kind in edge.verified and since <= edge.merged_at
    }
    first: dict[str, datetime] = {}
    for edge in known.by_address:
        if edge.merge_id in made:
            whose = person[edge.from_id]
            first[whose] = min(edge.merged_at, first.get(whose, edge.merged_at))
    later = {
        edge.merge_id
        for edge in known.by_address
        if (since := first.get(person[edge.from_id])) and since <= edge.merged_at
    }
    return Suspects(ids, made, frozenset(later - known.baseless(later)))


async def part(
    tx: Tx, identities: Identities, job: Import, suspected: Suspects, cause: Cause, *, held: bool
) -> list[Leftover]:
    """Undoes the merges that addresses spoke for until the files were taken back, and none does now.

    One that none had spoken for even before, as edits came after it, is left, and somebody is to look at it. ``held``:
    whether the lock of merges is. Raises MergesStand."""
    if not suspected.made:
        return []
    gone = (await grounds(tx, suspected.ids)).baseless(suspected.stood)
    if gone and not held:
        raise MergesStand
    for merge_id in sorted(gone):
        await identities.undo(tx, merge_id, cause, job.traceparent, for_good=False)
    doubtful = (await grounds(tx, suspected.ids)).baseless(suspected.made.keys() - suspected.stood)
    return [
        Leftover(suspected.made[merge_id], "merged-since", f"{merge_id} stands: no verified address speaks for it")
        for merge_id in sorted(doubtful)
    ]
