"""The segments that customers are in, and the rewards that ask for them."""

from itertools import permutations
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from services.loyalty.ledger.reading import holder_of
from services.loyalty.rewards import application as rewards
from services.loyalty.rewards.domain import Refused
from shared.db import fetch
from shared.messaging.records import Record
from tests.integration.loyalty.shop import Shop
from tests.integration.loyalty.test_merges import NEW, OLD, bought, merged
from tests.kit.builders import NOW, at, record

SERVICE = "loyalty"
ZONE = ZoneInfo("Asia/Taipei")


def placed(customer: str, segment: str, to: str | None, sequence: int = 1) -> Record:
    """Profile's word that a customer is in a class of a segment now."""
    said: dict[str, Any] = {
        "customer_id": customer, "sequence": sequence, "caused_by": {"source": "/roost/profile/segments", "id": "s"},
        "occurred_at": at(0), "segment": segment, "kind": "own", "rule_version": 1, "cause": "event",
    }  # fmt: skip
    return record("segment-changed", said if to is None else {**said, "to": to})


async def added(shop: Shop, *segments: str) -> str:
    async with shop.client("loyalty:read loyalty:write") as http:
        body = {"name": "Tin", "kind": "gift", "points": 0, "segments": segments}
        shown = (await http.post("/rewards", json=body)).json()
    assert shown["segments"] == list(segments)
    return str(shown["id"])


async def refused(shop: Shop, reward_id: str, customer: str) -> str | None:
    """Why a customer can't have it; he doesn't take it."""
    async with shop.db.transaction() as tx:
        accounts = (await holder_of(tx, customer)).accounts
        reward = await rewards.offer(tx, reward_id, NOW)
        try:
            await rewards.require(tx, reward, accounts=accounts, tier=None, now=NOW, zone=ZONE)
        except Refused as error:
            return error.refusal.code
    return None


async def test_a_reward_of_segments_is_for_who_is_in_one_of_them_now(shop: Shop) -> None:
    await shop.take(bought("c-1", "o-1", "100"), bought("c-2", "o-2", "100"))
    tin = await added(shop, "regulars", "lifecycle:active")
    assert await refused(shop, tin, "c-1") == "segment-required"
    await shop.take(placed("c-1", "regulars", "in"), placed("c-2", "lifecycle", "dormant"))
    assert await refused(shop, tin, "c-1") is None
    assert await refused(shop, tin, "c-2") == "segment-required"
    await shop.take(placed("c-1", "regulars", "out", 2), placed("c-2", "lifecycle", "active", 2))
    assert await refused(shop, tin, "c-1") == "segment-required"
    assert await refused(shop, tin, "c-2") is None
    async with shop.client("loyalty:read", customer_id="c-1") as himself:
        told = (await himself.get("/rewards", params={"customer_id": "c-1"})).json()["items"][0]["customer"]
    assert [one["code"] for one in told["refusals"]] == ["segment-required"]


async def test_a_person_is_in_what_any_of_his_ids_is_in(shop: Shop) -> None:
    await shop.take(bought(OLD, "o-1", "1000", 40), bought(NEW, "o-2", "500", 3), merged())
    tin = await added(shop, "regulars")
    await shop.take(placed(OLD, "regulars", "in"))
    assert await refused(shop, tin, NEW) is None


@pytest.mark.parametrize("order", list(permutations(range(3))))
async def test_the_latest_word_stands_in_whatever_order_it_is_told(shop: Shop, order: tuple[int, ...]) -> None:
    await shop.take(bought("c-1", "o-1", "100"))
    tin = await added(shop, "regulars")
    words = [placed("c-1", "regulars", to, number) for number, to in enumerate(("in", "out", "in"), start=1)]
    for number in order:
        await shop.take(words[number])
    assert await refused(shop, tin, "c-1") is None
    again = [placed("c-2", "regulars", to, number) for number, to in enumerate(("in", "in", None), start=1)]
    await shop.take(*(again[number] for number in order))
    async with shop.db.transaction() as tx:
        rows = await fetch(tx, "SELECT class FROM customer_segments WHERE customer_id = 'c-2'")
    assert [row["class"] for row in rows] == ["out"]


async def test_of_who_is_erased_no_segment_is_known_and_none_is_taken_in(shop: Shop) -> None:
    await shop.take(placed("c-1", "regulars", "in"), placed("c-2", "regulars", "in"))
    async with shop.client() as http:
        exported = (await http.get("/accounts/c-1/export")).json()
    assert [(row["segment"], row["class"]) for row in exported["customer_segments"]] == [("regulars", "in")]
    cause = {"source": "/roost/profile/requests", "id": "r"}
    said = {"customer_id": "c-1", "sequence": 9, "caused_by": cause, "occurred_at": at(0)}
    await shop.take(record("customer-erased", {**said, "erasure_id": "e-1", "customer_ids": ["c-1"]}))
    await shop.take(placed("c-1", "regulars", "in", 2))
    async with shop.db.transaction() as tx:
        rows = await fetch(tx, "SELECT customer_id FROM customer_segments")
    assert [row["customer_id"] for row in rows] == ["c-2"]
