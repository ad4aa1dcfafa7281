"""What planning has to know of a customer, folded from facts. Pure; the same whatever order the facts came in."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from shared.contracts.customers import ConsentChanged, ContactChannel, CustomerFields, CustomerRegistered, Purpose
from shared.contracts.orders import Order
from shared.contracts.purchases import PurchaseRecorded
from shared.contracts.risk import Band, CustomerAtRisk, RiskLowered

Key = tuple[datetime, str, str]
_NEVER = datetime(1, 1, 1, tzinfo=UTC)


class Bought(NamedTuple):
    """What of an order matters here. ``net`` in minor units."""

    key: Key
    counts: bool
    currency: str
    net: int


class Purchases(msgspec.Struct, frozen=True, omit_defaults=True):
    """The orders that stand. ``newest`` is the sort key of the newest order folded, standing or not.

    ``money``: orders and minor units by currency.
    """

    orders: int = 0
    first_at: datetime | None = None
    last_at: datetime | None = None
    newest: Key | None = None
    money: dict[str, tuple[int, int]] = {}

    @property
    def gap_days(self) -> float | None:
        """The mean gap between orders in days; None below two orders."""
        if self.orders < 2 or self.first_at is None or self.last_at is None:
            return None
        return (self.last_at - self.first_at).total_seconds() / 86_400 / (self.orders - 1)


class File(msgspec.Struct, frozen=True, omit_defaults=True):
    """The customer file's fields that planning goes by; the highest ``sequence`` of profile stands.

    ``loaded_at``, in place of ``registered_at``: when loaded history made him known, who needn't be new.
    """

    sequence: int = 0
    registered_at: datetime | None = None
    tenure_start: datetime | None = None
    time_zone: str | None = None
    locale: str | None = None
    owner: str | None = None
    preferred_channel: ContactChannel | None = None
    preferred_every_days: int | None = None
    restricted: bool = False
    verify_by: date | None = None
    loaded_at: datetime | None = None


class Because(msgspec.Struct, frozen=True):
    """A reason with its facts, as a sentence."""

    code: str
    text: str


class Risk(msgspec.Struct, frozen=True, omit_defaults=True):
    """Churn's forecast. ``episode`` is the sequence of the last customer-at-risk, ``raised_at`` its time.

    ``assessed_at``: the time of the forecast that holds. ``of``: of a person of several ids, the one that was forecast.
    """

    sequence: int = 0
    band: Band = "low"
    episode: int = 0
    raised_at: datetime | None = None
    reasons: tuple[Because, ...] = ()
    assessed_at: datetime | None = None
    of: str = ""

    @property
    def newness(self) -> datetime:
        """By which forecasts of several ids are compared."""
        return self.assessed_at or self.raised_at or _NEVER


class Customer(msgspec.Struct, frozen=True, omit_defaults=True):
    """A customer as planning sees him; ``consents`` is channel/purpose -> (profile's sequence, granted)."""

    purchases: Purchases = Purchases()
    file: File = File()
    risk: Risk = Risk()
    consents: dict[str, tuple[int, bool]] = {}

    @property
    def known_since(self) -> datetime | None:
        """Where tenure starts: the file's own word, else registration or first order, whichever came first.

        Nobody knows it of who came with loaded history, unless one of them is older than the loading.
        """
        file = self.file
        if file.tenure_start:
            return file.tenure_start
        starts = [at for at in (file.registered_at, self.purchases.first_at) if at]
        return min((at for at in starts if file.loaded_at is None or at < file.loaded_at), default=None)

    @property
    def is_old(self) -> bool:
        """Whether loaded history made him known, and nothing tells that he is new all the same."""
        return self.file.loaded_at is not None and self.file.tenure_start is None

    @property
    def at_risk_since(self) -> datetime | None:
        """Since when churn forecasts his leaving; None if it doesn't, or if he has bought since."""
        risk, last = self.risk, self.purchases.last_at
        if risk.band == "low" or risk.raised_at is None or (last is not None and last > risk.raised_at):
            return None
        return risk.raised_at

    def verify_at(self, house: ZoneInfo) -> datetime | None:
        """When the file wants to be verified: as its day opens in the house's zone; never, where it is restricted."""
        if self.file.verify_by is None or self.file.restricted:
            return None
        return datetime.combine(self.file.verify_by, time(), house).astimezone(UTC)

    def refuses(self, channel: ContactChannel, purpose: Purpose) -> bool:
        """Whether he has said no himself, or his file is restricted: no record is not a no."""
        return self.file.restricted or not self.consents.get(f"{channel}/{purpose}", (0, True))[1]


def bought_by_fact(purchase: PurchaseRecorded, source: str, event_id: str) -> Bought:
    """What a purchase alone makes, before any return."""
    key = (purchase.occurred_at, source, event_id)
    return Bought(key, bool(purchase.lines), purchase.total.currency, purchase.total.minor)


def bought_by_order(order: Order) -> Bought:
    """What an order has become."""
    return Bought(order.sort_key, order.counts, order.currency, order.net)


def add(known: Purchases, order: Bought) -> Purchases:
    """The purchases with an order that is newer than all of them."""
    if not order.counts:
        return msgspec.structs.replace(known, newest=order.key)
    orders, minor = known.money.get(order.currency, (0, 0))
    at = order.key[0]
    return Purchases(
        known.orders + 1,
        known.first_at or at,
        at,
        order.key,
        {**known.money, order.currency: (orders + 1, minor + order.net)},
    )


def fold(orders: Iterable[Order]) -> Purchases:
    """The purchases of a customer's whole history, sorted by its key."""
    known = Purchases()
    for order in orders:
        known = add(known, bought_by_order(order))
    return known


def filed(customer: Customer, fields: CustomerFields, *, loaded: bool = False) -> Customer:
    """The customer after his file was made or changed. ``loaded``: by history."""
    file = customer.file
    if isinstance(fields, CustomerRegistered):
        since = "loaded_at" if loaded else "registered_at"
        file = msgspec.structs.replace(file, **{since: fields.occurred_at})
    if fields.sequence > file.sequence:
        file = File(
            fields.sequence, file.registered_at, fields.tenure_start, fields.time_zone, fields.locale, fields.owner,
            fields.preferred_channel, fields.preferred_every_days, fields.restricted, fields.verify_by,
            file.loaded_at,
        )  # fmt: skip
    return msgspec.structs.replace(customer, file=file)


def consented(customer: Customer, change: ConsentChanged) -> Customer:
    """The customer after he granted or withdrew a consent."""
    name = f"{change.channel}/{change.purpose}"
    if change.sequence <= customer.consents.get(name, (0, True))[0]:
        return customer
    return msgspec.structs.replace(
        customer, consents={**customer.consents, name: (change.sequence, change.granted)}
    )


def assessed(customer: Customer, forecast: CustomerAtRisk | RiskLowered) -> Customer:
    """The customer after churn's forecast; an older one than the last changes nothing but a missed episode."""
    risk = customer.risk
    if isinstance(forecast, CustomerAtRisk) and forecast.sequence > risk.episode:
        because = tuple(Because(reason.code, reason.text) for reason in forecast.reasons)
        risk = msgspec.structs.replace(
            risk, episode=forecast.sequence, raised_at=forecast.occurred_at, reasons=because
        )
    if forecast.sequence > risk.sequence:
        band = forecast.band if isinstance(forecast, CustomerAtRisk) else forecast.to_band
        risk = msgspec.structs.replace(
            risk, sequence=forecast.sequence, band=band, assessed_at=forecast.occurred_at
        )
    return msgspec.structs.replace(customer, risk=risk)


def one_person(survivor: str, members: Mapping[str, Customer]) -> Customer:
    """What all ids of a person make of him: ``members``, by id, with the survivor's among them.

    Orders count together. What the survivor's file leaves open the others' fill, in the order of their ids; tenure
    starts with the first, and only the survivor's file wants to be verified. The newest forecast of any id holds. A
    consent withdrawn under any id is withdrawn; an id that is restricted restricts him.
    """
    ids = [survivor, *sorted(members.keys() - {survivor})]
    states = [members[id] for id in ids]
    newest = max(ids, key=lambda id: (members[id].risk.newness, id == survivor, id))
    return Customer(
        _one_history([state.purchases for state in states]),
        _one_file([state.file for state in states]),
        msgspec.structs.replace(members[newest].risk, of=newest),
        _one_will([state.consents for state in states]),
    )


def _one_history(histories: Sequence[Purchases]) -> Purchases:
    money: dict[str, tuple[int, int]] = {}
    for bought in histories:
        for currency, (orders, minor) in bought.money.items():
            before = money.get(currency, (0, 0))
            money[currency] = before[0] + orders, before[1] + minor
    return Purchases(
        sum(bought.orders for bought in histories),
        min((bought.first_at for bought in histories if bought.first_at), default=None),
        max((bought.last_at for bought in histories if bought.last_at), default=None),
        max((bought.newest for bought in histories if bought.newest), default=None),
        money,
    )


def _one_file(files: Sequence[File]) -> File:
    known: dict[str, Any] = {}
    for file in files:
        known |= {name: value for name, value in msgspec.structs.asdict(file).items() if known.get(name) is None}
    return File(**known | {
        "registered_at": min((file.registered_at for file in files if file.registered_at), default=None),
        "tenure_start": min((file.tenure_start for file in files if file.tenure_start), default=None),
        "restricted": any(file.restricted for file in files),
        "verify_by": files[0].verify_by,
        "loaded_at": min((file.loaded_at for file in files if file.loaded_at), default=None),
    })  # fmt: skip


def _one_will(wills: Sequence[Mapping[str, tuple[int, bool]]]) -> dict[str, tuple[int, bool]]:
    one: dict[str, tuple[int, bool]] = {}
    for will in wills:
        for name, (sequence, granted) in will.items():
            last, so_far = one.get(name, (0, True))
            one[name] = max(last, sequence), so_far and granted
    return one
