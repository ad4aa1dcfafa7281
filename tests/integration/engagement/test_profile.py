"""Engagement asks the real profile, over HTTP, whom it may write to and where."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import uvicorn
from fastapi import FastAPI
from pydantic import SecretStr

from services.profile.main import build
from services.profile.settings import ProfileSettings
from shared.clock import VirtualClock
from shared.http.auth import issue_token
from shared.http.settings import HttpSettings
from shared.service import Surroundings
from shared.settings import KafkaSettings
from tests.integration.engagement.house import HOUSE, SECRET, at_risk, open_engagement
from tests.integration.engagement.outside import Mailbox
from tests.kit.builders import NOW, purchase
from tests.kit.databases import Databases, TestDatabase

SERVICE = "engagement"


@asynccontextmanager
async def real_profile(database: TestDatabase) -> AsyncIterator[str]:
    surroundings = Surroundings(HOUSE, KafkaSettings(), HttpSettings(jwt_secret=SecretStr(SECRET)), VirtualClock(NOW))
    settings = ProfileSettings(database_url=SecretStr(database.dsn), master_key=SecretStr(SECRET))
    service = build(surroundings, settings)
    gateway = FastAPI()
    gateway.mount("/profile", service.app)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(gateway, log_config=None, lifespan="off"))
        serving = asyncio.create_task(server.serve([listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/profile"
        finally:
            server.should_exit = True
            await serving
            await service.stop()


async def test_mail_goes_to_who_consented_at_the_address_of_his_file(
    test_database: TestDatabase, databases: Databases, mailbox: Mailbox
) -> None:
    async with databases.fresh("profile") as files, real_profile(files) as url:
        headers = {"Authorization": f"Bearer {issue_token(SECRET, 'profile:read profile:write')}"}
        async with httpx.AsyncClient(headers=headers) as http:
            for customer in ("pos:1", "pos:2"):
                file = {"customer_id": customer, "name": "Somebody", "email": f"{customer[-1]}@example.com"}
                made = await http.post(f"{url}/customers", json=file)
                assert made.status_code == 201, made.text
            said = {"granted": True, "source": "web", "wording_version": "1"}
            consent = await http.put(f"{url}/customers/pos:1/consents/email/marketing", json=said)
            assert consent.is_success, consent.text
        async with open_engagement(test_database, profile_url=url, smtp_port=mailbox.port) as engagement:
            customers = ("pos:1", "pos:2", "pos:3")
            await engagement.take(*[("purchase-recorded", purchase(customer, days_ago=62)) for customer in customers])
            await engagement.take(*[at_risk(customer) for customer in customers])
            await engagement.run("hand-over")
            assert [message["To"] for message in mailbox.taken] == ["1@example.com"]
            tasks = await engagement.rows("SELECT customer_id FROM tasks ORDER BY customer_id")
            assert [task["customer_id"] for task in tasks] == ["pos:2", "pos:3"]
