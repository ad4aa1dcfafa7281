"""What a customer's tier brings him now, for a checkout that has to know at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from services.loyalty.ledger.reading import Holder
from services.loyalty.privileges.domain import Privilege
from services.loyalty.programmes.application import Programmes
from services.loyalty.programmes.domain import in_force
from services.loyalty.tiers.application import ladder_of
from services.loyalty.tiers.domain import Step
from shared.clock import Clock
from shared.db import Tx


class Brought(msgspec.Struct, frozen=True):
    """The tier held now, since when, what it says of itself by language, and what it brings: what it lists, nothing of
    the tiers below it. ``falls``: the first fall if nothing more is bought."""

    tier: str | None = None
    text: dict[str, str] = {}
    since: datetime | None = None
    privileges: Sequence[Privilege] = ()
    falls: Step | None = None
    programme_version: int | None = None


@dataclass(frozen=True, slots=True)
class Privileges:
    """The use case of this module."""

    clock: Clock
    programmes: Programmes

    async def of(self, tx: Tx, holder: Holder) -> Brought:
        """What a person's tier brings now, computed from his orders: it waits for no job."""
        now = self.clock.now()
        programme = in_force(await self.programmes.known(tx), now)
        if programme is None:
            return Brought()
        ladder = await ladder_of(tx, holder.accounts, programme)
        tier = ladder.tier_at(now)
        if tier is None:
            return Brought(programme_version=programme.version)
        return Brought(
            tier.name, tier.text, ladder.since(now), tier.privileges, ladder.next_fall(now), programme.version
        )
