"""Whether a customer may be contacted: an entry of the ledger decides, and where there is none, the purpose."""

from datetime import datetime

import msgspec

from shared.contracts.customers import ContactChannel, Purpose


class Consent(msgspec.Struct, frozen=True):
    """An entry: who said so (``source``), in answer to which wording, and when."""

    channel: ContactChannel
    purpose: Purpose
    granted: bool
    source: str
    wording_version: str
    recorded_at: datetime


def allowed(said: bool | None, purpose: str, *, reachable: bool, by_default: tuple[str, ...]) -> bool:
    """Whether a purpose may use an address.

    What the customer said counts. Where he said nothing, only messages that the contract itself needs are lawful
    (GDPR art. 6(1)(b), PIPL art. 13(2)): the purposes ``by_default``, and those only if there is an address.
    """
    if said is not None:
        return said
    return reachable and purpose in by_default
