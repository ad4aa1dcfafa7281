"""What the commands of a transaction need, read in sets, and what they did, written at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from services.loyalty.ledger import reading
from services.loyalty.ledger.application import SERVICE
from services.loyalty.ledger.domain import Cause
from services.loyalty.ledger.purse import REQUESTS, Purse, Wanted, close_purses, open_purses
from services.loyalty.redemptions import store
from services.loyalty.redemptions.commands import Command, Commit, MakeHold, MakeQuote, Redeem, Void
from services.loyalty.redemptions.domain import NotThereError, Quote, Redemption, Terms, there
from shared.db import Tx
from shared.messaging import merges, outbox
from shared.messaging.merges import Groups
from shared.messaging.outbox import Outgoing


class ApartError(Exception):
    """To be served with those who wait for the same customer, since somebody else has locked an account of his, or
    loyalty may never have heard of him. Or ``alone``: for a reward, whose stock, limits and codes others wait for, or
    of a person who is unsettled. ``line``: the customer."""

    def __init__(self, line: str, *, alone: bool = False) -> None:
        super().__init__(line)
        self.line, self.alone = line, alone


@dataclass(slots=True)
class Sitting:
    """What the commands of a transaction have at hand, and what they did."""

    tx: Tx
    now: datetime
    wait: bool
    alone: bool
    quotes: Mapping[str, tuple[Quote, str]]
    groups: Groups
    purses: Mapping[str, Purse]
    funds: Mapping[str, reading.Funds]
    served: dict[int, Purse] = field(default_factory=dict)
    quoted: list[Quote] = field(default_factory=list)
    redeemed: list[Redemption] = field(default_factory=list)
    events: list[Outgoing] = field(default_factory=list)

    def quote(self, command: MakeHold | Commit | Void) -> tuple[Quote, str]:
        """The quote that a command goes by, and whose it is."""
        quote, customer = there(self.quotes.get(command.quote_id))
        self._require_own(command, customer)
        self._require_alone(quote.terms, customer)
        return quote, customer

    def fund(self, command: MakeQuote) -> reading.Funds:
        """What a customer has."""
        self._require_own(command, command.customer)
        self._require_alone(command.terms, command.customer)
        return there(self.funds.get(command.customer))

    def purse(self, customer: str, id: str, command: Command[Any]) -> Purse:
        """A person's purse, for this command."""
        purse = self.purses.get(customer)
        if purse is None:
            raise NotThereError if self.wait else ApartError(customer)
        # Also one whom a command before this one has left so: what he has is known once that is written down.
        if purse.is_unsettled and not self.alone:
            raise ApartError(customer, alone=True)
        purse.cause = Cause(REQUESTS, id, self.now, command.traceparent)
        return purse

    def own_purse(self, command: Redeem) -> Purse:
        """The purse of whom the command names."""
        self._require_own(command, command.customer)
        self._require_alone(command.terms, command.customer)
        return self.purse(command.customer, command.redemption_id, command)

    def done(self, purse: Purse) -> None:
        """What was done with this purse is to be written down."""
        self.served[purse.owner.account_id] = purse

    async def close(self) -> None:
        """Writes everything down."""
        beside = store.added(self.quoted, self.redeemed)
        told = await close_purses(self.tx, list(self.served.values()), beside)
        await outbox.append(self.tx, SERVICE, [*told, *self.events], self.now)

    def _require_own(self, command: Command[Any], customer: str) -> None:
        # Before anything else: a refusal would tell what another one has.
        if not _may_ask(command, customer, self.groups):
            raise NotThereError

    def _require_alone(self, terms: Terms, customer: str) -> None:
        if terms.reward_id is not None and not self.alone:
            raise ApartError(customer, alone=True)


async def sit(
    tx: Tx, commands: Sequence[Command[Any]], now: datetime, *, wait: bool, alone: bool = False
) -> Sitting:
    """What they need. Without ``wait`` nobody is locked whom somebody else has locked."""
    of_quotes = [command for command in commands if isinstance(command, MakeHold | Commit | Void)]
    quotes = await store.quoted(tx, [command.quote_id for command in of_quotes]) if of_quotes else {}
    askers = {command.asker for command in commands if command.asker is not None}
    groups = await merges.groups_of(tx, askers)
    wanted = [
        Wanted(command.customer, Cause(REQUESTS, command.redemption_id, now))
        for command in commands
        if isinstance(command, Redeem)
        and (alone or not command.is_for_reward)
        and _may_ask(command, command.customer, groups)
    ]
    for command in of_quotes:
        quote, customer = quotes.get(command.quote_id, (None, ""))
        # Nobody locks what isn't his.
        if quote is None or not _may_ask(command, customer, groups):
            continue
        if alone or quote.terms.reward_id is None:
            cause = Cause(REQUESTS, command.hold_id, now)
            wanted.append(Wanted(customer, cause, isinstance(command, MakeHold), command.hold_id))
    shared = bool(of_quotes or askers)
    purses = await open_purses(tx, wanted, now, wait=wait, settle=alone, shared=shared) if wanted else {}
    funds = await reading.funds(tx, {one.customer for one in commands if isinstance(one, MakeQuote)}, now)
    return Sitting(tx, now, wait, alone, quotes, groups, purses, funds)


def _may_ask(command: Command[Any], customer: str, groups: Groups) -> bool:
    return command.asker is None or groups.survivor(command.asker) == groups.survivor(customer)
