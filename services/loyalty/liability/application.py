"""The liability as it was written down at an instant."""

from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

import msgspec

from services.loyalty.ledger import reading
from services.loyalty.liability import store
from services.loyalty.liability.domain import Breakage, Line, Movement, ages_of, breakage, roll_forward
from services.loyalty.programmes.application import Programmes
from services.loyalty.programmes.domain import Programme, in_force
from shared.db import Tx


class Liability(msgspec.Struct, frozen=True):
    """Lines by month of issue since the beginning of the month ``since``. ``month``: that of ``as_of``."""

    as_of: datetime
    since: date
    currency: str
    lines: list[Line]
    breakage: Breakage


@dataclass(frozen=True, slots=True)
class Liabilities:
    """``zone``: of calendar months. ``currency``: the house's, of the money."""

    programmes: Programmes
    zone: ZoneInfo
    currency: str

    def month_of(self, at: datetime) -> date:
        """The first day of the month that an instant lies in."""
        return at.astimezone(self.zone).date().replace(day=1)

    async def liability(self, tx: Tx, as_of: datetime, since: date) -> Liability:
        """What was written down until then, ever the same for an instant that has passed."""
        await reading.at_one_moment(tx)
        versions = await self.programmes.known(tx)
        current = in_force(versions, as_of)
        values: dict[int | None, int | None] = {version.version: self._value(version) for version in versions}
        values[None] = self._value(current) if current else None
        movements = [Movement(*row) for row in await store.movements(tx, as_of, str(self.zone))]
        lines = roll_forward(movements, since, values)
        month = self.month_of(as_of)
        return Liability(as_of, since, self.currency, lines, breakage(lines, ages_of(movements, month), month))

    def _value(self, version: Programme) -> int | None:
        return version.value if version.currency == self.currency else None
