"""Loyalty that dies at any statement of a command has done nothing of it; who asks again with his key has it once."""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import asyncpg
import httpx
import pytest
from sqlalchemy.exc import DBAPIError
from structlog.testing import capture_logs

from shared.http.auth import issue_token
from tests.integration.loyalty.shop import SECRET, Shop, open_shop
from tests.integration.shared.test_kills import Kill, counted, state
from tests.kit.builders import purchase, record
from tests.kit.databases import Databases

SERVICE = "loyalty"
EVERY = 1 if int(os.environ.get("ROOST_TEST_KILLS", "1")) >= 10 else 8
"""Death comes at each statement where many are asked for; else at every eighth, of each command from another on."""
STATEMENTS = ("fetch", "fetchrow", "fetchval", "execute", "copy_records_to_table")
LOST = (asyncpg.PostgresError, asyncpg.InterfaceError, DBAPIError, OSError)
A, B = "c-1", "c-2"
COUPON = {"percent": "10", "valid_days": 30}
TENNER = {"name": "Tenner", "kind": "coupon", "points": 40, "stock": 9, "coupon": COUPON}
TIN = {"name": "Tin", "kind": "product", "points": 15, "stock": 9, "fulfilment": {"due_days": 3}}
BATCH = {"customers": [A, B], "coupon": COUPON, "reason": "a present"}


@dataclass(frozen=True, slots=True)
class Command:
    """A POST of a story, and under which name what it answers is known to those after it."""

    name: str
    path: str
    body: Any
    second: bool = False

    def filled(self, known: Mapping[str, Any]) -> tuple[str, Any]:
        """Where it names what was answered before: ``$name.field``."""

        def value(of: Any) -> Any:
            if isinstance(of, str) and of.startswith("$"):
                name, _, field = of[1:].partition(".")
                return known[name][field or "id"]
            if isinstance(of, dict):
                return {key: value(one) for key, one in of.items()}
            return of

        return "/".join(str(value(part)) for part in self.path.split("/")), value(self.body)


STORY = [
    Command("tenner", "/rewards", TENNER),
    Command("tin", "/rewards", TIN),
    Command("quote", "/quotes", {"customer_id": A, "reward_id": "$tenner"}),
    Command("hold", "/holds", {"quote_id": "$quote", "ttl": 600}),
    Command("committed", "/holds/$hold/commit", {}),
    Command("spare", "/quotes", {"customer_id": A, "reward_id": "$tin"}),
    Command("held", "/holds", {"quote_id": "$spare", "ttl": 600}),
    Command("voided", "/holds/$held/void", {}),
    Command("parts", "/quotes", {"customer_id": A, "points": 30}),
    Command("kept", "/holds", {"quote_id": "$parts", "ttl": 600}),
    Command("part", "/holds/$kept/commit", {"points": 20}),
    Command("plain", "/redemptions", {"customer_id": A, "points": 25}),
    Command("coupon", "/redemptions", {"customer_id": B, "reward_id": "$tenner"}),
    Command("box", "/redemptions", {"customer_id": B, "reward_id": "$tin"}),
    Command("sent", "/redemptions/$box/fulfilment", {"state": "sent"}),
    Command("undone", "/redemptions/$box/rollback", {"reason": "not wanted"}),
    Command("taken back", "/redemptions/$coupon/rollback", {"reason": "not wanted"}),
    Command("used", "/coupons/$committed.coupon_code/redeem", {"order_id": "o-9", "customer_id": A}),
    Command("released", "/coupons/$committed.coupon_code/release", {"order_id": "o-9"}),
    Command("reserved", "/coupons/$committed.coupon_code/reserve", {"order_id": "o-10"}),
    Command("void", "/coupons/$committed.coupon_code/void", {}),
    Command("batch", "/coupons/batches", BATCH),
    Command("given", f"/accounts/{A}/adjustments", {"points": 60, "reason": "waited too long"}),
    Command("taken", f"/accounts/{A}/adjustments", {"points": -35, "reason": "given twice"}),
    Command("proposed", f"/accounts/{A}/adjustments", {"points": 5000, "reason": "waited for a year"}),
    Command("approved", "/adjustments/$proposed/approve", {}, second=True),
    Command("too much", f"/accounts/{A}/adjustments", {"points": 6000, "reason": "waited for two"}),
    Command("refused", "/adjustments/$too much/refuse", {}, second=True),
    Command("transfer", "/transfers", {"from_customer_id": B, "to_customer_id": A, "points": 70}),
    Command("member", "/enrolments", {"customer_id": A}),
    Command("cancelled", "/enrolments/$member/cancel", {}),
    Command("code", f"/accounts/{A}/referral-code", {}),
]  # fmt: skip


@dataclass(slots=True)
class Living:
    """A shop, the two persons who work in it, and what they were answered so far."""

    shop: Shop
    first: httpx.AsyncClient
    second: httpx.AsyncClient
    known: dict[str, Any]

    async def ask(self, command: Command) -> httpx.Response:
        """Sends a command with its key, always the same."""
        path, body = command.filled(self.known)
        who = self.second if command.second else self.first
        return await who.post(path, json=body, headers={"Idempotency-Key": f"key-{STORY.index(command)}"})

    async def done(self, command: Command) -> httpx.Response:
        """Sends it, and keeps what it answers."""
        answer = await self.ask(command)
        assert answer.status_code in (200, 201, 202), (command.name, answer.text)
        self.known[command.name] = answer.json()
        return answer


@asynccontextmanager
async def living(databases: Databases) -> AsyncIterator[Living]:
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(databases.fresh(SERVICE))
        shop = await stack.enter_async_context(open_shop(database))
        people = []
        for subject in ("staff:1", "staff:2"):
            client = await stack.enter_async_context(shop.client("loyalty:read loyalty:write"))
            token = issue_token(SECRET, "loyalty:read loyalty:write", subject=subject)
            client.headers["Authorization"] = f"Bearer {token}"
            people.append(client)
        for customer, order, days in ((A, "o-1", 30), (A, "o-2", 200), (B, "o-3", 40)):
            await shop.take(record("purchase-recorded", purchase(customer, order, total="1000", days_ago=days)))
        yield Living(shop, people[0], people[1], {})


async def killed(lived: Living, command: Command, kill: Kill) -> bool:
    """Sends a command to who dies where ``kill`` says; False where there was nothing left to die of."""
    with pytest.MonkeyPatch.context() as patch:
        for name in STATEMENTS:
            patch.setattr(asyncpg.Connection, name, kill.of(getattr(asyncpg.Connection, name)))
        # To show each death with the code around it would take longer than all else.
        with capture_logs(), suppress(*LOST):
            answer = await lived.ask(command)
            assert (answer.status_code >= 500) == (kill.seen >= kill.at), answer.text
            if answer.status_code < 300:
                lived.known[command.name] = answer.json()
    return kill.seen >= kill.at


async def test_death_at_any_statement_of_a_command_leaves_nothing_by_halves(databases: Databases) -> None:
    async with living(databases) as twin:
        expected = []
        for command in STORY:
            await twin.done(command)
            expected.append(counted(await state(twin.shop.db)))

    deaths = 0
    async with living(databases) as lived:
        admin = await asyncpg.connect(databases.admin_dsn)
        try:
            for number, (command, rows) in enumerate(zip(STORY, expected, strict=True)):
                before, at = await state(lived.shop.db), 1 + number % EVERY
                while await killed(lived, command, Kill(admin, at)):
                    assert await state(lived.shop.db) == before, f"{command.name}, killed at statement {at}"
                    at += EVERY
                    deaths += 1
                done = await state(lived.shop.db)
                assert counted(done) == rows, command.name
                again = await lived.ask(command)
                assert again.headers["Idempotency-Replayed"] == "true", command.name
                assert again.json() == lived.known[command.name], command.name
                assert await state(lived.shop.db) == done, f"{command.name} once more"
        finally:
            await admin.close()
        proof = await lived.shop.verified()
        assert (proof.broken, sum(proof.books.values())) == (None, 0)
    print(f"\n{len(STORY)} commands, {deaths} deaths")
    assert deaths > 7 * len(STORY) / EVERY, "a command takes more statements"
