"""The 360° view is built from every topic."""

from services.profile.consumers import use_cases
from services.profile.customers.application import Customers
from services.profile.erasures.application import Erasures
from services.profile.identities.application import Identities
from services.profile.purchases.application import PurchaseHistory
from services.profile.purchases.domain import House
from services.profile.timeline.application import Timeline
from services.profile.vault.application import Vault
from shared.clock import SystemClock
from shared.contracts.topics import TOPICS
from shared.db import Database
from shared.messaging.erased import Erased
from shared.messaging.erasures import Erasing

ITS_OWN = {
    "customer-registered", "customer-changed", "segment-changed", "customer-lost", "customer-returned",
    "category-demand-changed",
}  # fmt: skip
TOLD_OTHERWISE = {"points-granted"}
"""What a ledger needs to be made again: `points-earned` tells profile of it."""


def test_every_topic_is_read_but_the_announcements_of_its_own_files_and_segments() -> None:
    customers = Customers(SystemClock(), "TW", Vault(Database("postgresql://nowhere"), ["unused"]))
    history = PurchaseHistory(customers, House("TWD", "Asia/Taipei"))
    identities, erased = Identities(customers, history), Erased(b"unused")
    erasures = Erasures(customers, erased, b"unused")
    erasing = Erasing("profile", erased, SystemClock(), erasures.destroy, identities.apply)
    table = use_cases(history, Timeline(customers), identities, erasures, erasing)
    assert set(table) == set(TOPICS) - ITS_OWN - TOLD_OTHERWISE
