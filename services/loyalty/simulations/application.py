"""What a purchase would earn, by the rules in force or by others: judged as it would be, and nothing is written."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from services.loyalty.earning.application import Earning
from services.loyalty.earning.domain import Judgement
from services.loyalty.ledger import application as ledger
from services.loyalty.ledger.reading import Holder
from services.loyalty.programmes.application import Programmes
from services.loyalty.programmes.stored import read_programme
from shared.clock import Clock
from shared.contracts.orders import Order
from shared.db import Tx

Texts = Mapping[str, Mapping[str, str]]


class Simulated(msgspec.Struct, frozen=True):
    """How it would be judged, and what each rule of that version says of itself to a customer, by language."""

    judgement: Judgement
    texts: Texts
    is_draft: bool


@dataclass(frozen=True, slots=True)
class Simulations:
    """The use case of this module."""

    clock: Clock
    programmes: Programmes
    earning: Earning

    async def purchase(self, tx: Tx, holder: Holder | None, order: Order, draft: dict[str, Any] | None) -> Simulated:
        """An order beside all that its customer has bought by now; of nobody (``holder`` None) it is the first.

        ``draft``: a version that was never posted, and judges this order alone, if it is active by then.
        """
        known = await self.programmes.known(tx)
        version = None
        if draft is not None:
            number, now = known[-1].version + 1, self.clock.now()
            version = read_programme(number, now, msgspec.json.encode(draft), self.earning.zone)
        own = [id for id, customer in holder.customers.items() if customer == order.customer_id] if holder else []
        judgement = await self.earning.would_be(tx, order, await ledger.lots_of(tx, own), version)
        judged_by = judgement.award.programme_version
        is_draft = version is not None and judged_by == version.version
        if judged_by is None:
            return Simulated(judgement, {}, is_draft)
        body = draft if is_draft and draft else (await self.programmes.one(tx, judged_by)).body
        return Simulated(judgement, {rule["id"]: rule.get("text", {}) for rule in body.get("rules", ())}, is_draft)
