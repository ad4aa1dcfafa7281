"""What was under way when somebody was erased ends without bringing him back."""

import asyncio
import threading

from tests.integration.engagement.house import Engagement, registered
from tests.integration.engagement.outside import Mailbox, Profile
from tests.integration.engagement.test_hand_over import at_risk_with_mail
from tests.kit.builders import at
from tests.kit.scanning import places_of

SERVICE = "engagement"
CUSTOMER = "pos:4711-x"


async def test_a_mail_under_way_when_he_is_erased_makes_nobody_of_him_again(
    engagement: Engagement, profile: Profile, mailbox: Mailbox
) -> None:
    mailbox.hold = threading.Event()
    await engagement.take(registered(CUSTOMER, verify_by="2026-11-01"))
    assert await engagement.run("verify-files") == 1
    assert len(await engagement.rows("SELECT id FROM tasks")) == 1
    await at_risk_with_mail(engagement, profile, CUSTOMER)
    handing_over = asyncio.create_task(engagement.run("hand-over"))
    await asyncio.to_thread(mailbox.arrived.wait, 20)

    cause = {"source": "/roost/profile/requests", "id": "r"}
    said = {"customer_id": CUSTOMER, "sequence": 1, "caused_by": cause, "occurred_at": at(0)}
    await engagement.take(("customer-erased", {**said, "erasure_id": "e_1", "customer_ids": [CUSTOMER]}))
    mailbox.hold.set()
    await handing_over

    assert len(mailbox.taken) == 1
    assert await places_of(engagement.service.db, [CUSTOMER]) == []
