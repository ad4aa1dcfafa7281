"""What can be asked for about points, one command each, and what it answers."""

from abc import abstractmethod
from datetime import timedelta
from typing import Generic, TypeVar

import msgspec

from services.loyalty.redemptions.domain import QUOTE, Held, Quote, Redeemed, Terms, hold_id_of, quote_id_of
from shared.observability import current_traceparent

Answer = TypeVar("Answer", covariant=True)


class Command(msgspec.Struct, Generic[Answer], frozen=True, kw_only=True):
    """``asker``: the customer whose token asks; to him only what is his is there. None: staff.

    ``traceparent``: of the request that it came with.
    """

    asker: str | None = None
    traceparent: str | None = msgspec.field(default_factory=current_traceparent.get)

    @property
    @abstractmethod
    def line(self) -> str:
        """Where it waits for its turn, if it has to: with what else is about the same customer, as far as it says; who
        asks for himself with what else he asks for."""

    @property
    def is_for_reward(self) -> bool:
        """Whether it says so itself; of what goes by a quote that does."""
        return False


class MakeQuote(Command[Quote], frozen=True):
    """What something would cost a customer now. It keeps nothing back from anybody."""

    quote_id: str
    customer: str
    terms: Terms

    @property
    def line(self) -> str:
        # It locks nobody: it doesn't wait behind who does.
        return f"{QUOTE}{self.asker or self.customer}"

    @property
    def is_for_reward(self) -> bool:
        return self.terms.reward_id is not None


class MakeHold(Command[Held], frozen=True):
    """Sets aside what a quote named, for so long: points, and one of the reward."""

    quote_id: str
    lasting: timedelta

    @property
    def hold_id(self) -> str:
        """What it will be known by."""
        return hold_id_of(self.quote_id)

    @property
    def line(self) -> str:
        return self.quote_id


class OfHold(Command[Answer], frozen=True):
    """About what is held."""

    hold_id: str

    @property
    def quote_id(self) -> str:
        """What the hold was made of."""
        return quote_id_of(self.hold_id)

    @property
    def line(self) -> str:
        return self.quote_id


class Commit(OfHold[Redeemed], frozen=True):
    """Uses what is held: all that is left of it, or so many points; of a reward always all."""

    redemption_id: str
    points: int | None = None


class Void(OfHold[Held], frozen=True):
    """Gives back what is still held; what was committed of it stays."""


class Redeem(Command[Redeemed], frozen=True):
    """Everything at once: points, stock and code."""

    redemption_id: str
    customer: str
    terms: Terms

    @property
    def line(self) -> str:
        return self.asker or self.customer

    @property
    def is_for_reward(self) -> bool:
        return self.terms.reward_id is not None
