"""A figure as it was first reported, and what it was meant to become."""

from datetime import date, datetime

import msgspec


class Slice(msgspec.Struct, frozen=True):
    """Whose figures: of who is in a segment, of an owner's customers, of both at once; everybody's without names."""

    segment: str = ""
    owner: str = ""

    @property
    def filters(self) -> dict[str, str]:
        """The names that there are."""
        return {name: value for name, value in (("segment", self.segment), ("owner", self.owner)) if value}


EVERYBODY = Slice()


class Figures(msgspec.Struct, frozen=True):
    """The numbers of a key figure; a decimal string is money in major units, or pieces."""

    numerator: int | str
    denominator: int | str
    value: float | None
    count: int


class Report(msgspec.Struct, frozen=True):
    """The figures of a closed month as they stood when it was reported, by the definition of that day."""

    figures: Figures
    definition_version: int
    reported_at: datetime


class Target(msgspec.Struct, frozen=True):
    """What somebody set for a figure over a period, ``until`` the day after the last; a decimal string."""

    kpi: str
    since: date
    until: date
    target: str
    version: int
    set_at: datetime
    segment: str = ""
    owner: str = ""
