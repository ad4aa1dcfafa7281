"""What is refused has no effect: not one byte of any table is another, whichever command it was and why."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from services.loyalty.coupons.codes import new_code
from services.loyalty.enrolments.domain import member_number
from shared.http.auth import issue_token
from tests.integration.loyalty.shop import SECRET, Shop
from tests.integration.loyalty.test_command_kills import COUPON, STORY, TENNER, TIN, A, B, Command, Living, living
from tests.integration.loyalty.test_http import PROGRAMME
from tests.integration.loyalty.test_redemptions import erased
from tests.integration.shared.test_kills import state
from tests.kit.builders import NOW, money, purchase, record
from tests.kit.databases import Databases

SERVICE = "loyalty"
GONE = "c-gone"
MORE = [
    Command("empty", "/rewards", {**TIN, "stock": 0}),
    Command("bearer", "/rewards", {**TENNER, "points": 1, "coupon": {**COUPON, "min_spend": money("500")}}),
    Command("late", "/quotes", {"customer_id": A, "points": 1}),
    Command("dear", "/quotes", {"customer_id": B, "points": 20}),
    Command("whole quote", "/quotes", {"customer_id": A, "reward_id": "$tin"}),
    Command("whole", "/holds", {"quote_id": "$whole quote", "ttl": 86_400}),
    Command("brief quote", "/quotes", {"customer_id": A, "points": 1}),
    Command("brief", "/holds", {"quote_id": "$brief quote", "ttl": 1}),
    Command("handed", "/redemptions", {"customer_id": A, "reward_id": "$tin"}),
    Command("handed over", "/redemptions/$handed/fulfilment", {"state": "done"}),
    Command("gone", "/redemptions", {"customer_id": A, "reward_id": "$bearer"}),
    Command("unused", "/redemptions", {"customer_id": A, "reward_id": "$bearer"}),
    Command("gone coupon", "/coupons/$gone.coupon_code/redeem", {"order_id": "o-7"}),
    Command("open", f"/accounts/{A}/adjustments", {"points": 5000, "reason": "waited for a year"}),
    Command("never", f"/accounts/{A}/adjustments", {"points": -9000, "reason": "given twice"}),
    Command("active", "/enrolments", {"customer_id": B}),
    Command("poor", "/redemptions", {"customer_id": B, "points": 20}),
]
# A customer may have a code of his own made with the token that he reads with.
READERS = ("code",)
REPLAY = "/dead-letters/{id}/replay"
MINUTES = timedelta(minutes=20)
"""A quote is none any more by then."""

UNKNOWN: list[tuple[str, Any]] = [
    ("/quotes", {"customer_id": "c-nobody", "points": 1}),
    ("/quotes", {"customer_id": A, "reward_id": "rw_nothing"}),
    ("/holds", {"quote_id": "qt_nothing"}),
    ("/holds/hd_nothing/commit", {}),
    ("/holds/hd_nothing/void", {}),
    ("/redemptions", {"customer_id": "c-nobody", "points": 1}),
    ("/redemptions", {"customer_id": A, "reward_id": "rw_nothing"}),
    ("/redemptions/rd_nothing/rollback", {"reason": "?"}),
    ("/redemptions/rd_nothing/fulfilment", {"state": "sent"}),
    ("/coupons/$unknown.code/redeem", {}),
    ("/coupons/$unknown.code/release", {}),
    ("/coupons/$unknown.code/reserve", {"order_id": "o-1"}),
    ("/coupons/$unknown.code/void", {}),
    ("/accounts/c-nobody/adjustments", {"points": 1, "reason": "?"}),
    ("/adjustments/ad_nothing/approve", {}),
    ("/adjustments/ad_nothing/refuse", {}),
    ("/transfers", {"from_customer_id": "c-nobody", "to_customer_id": A, "points": 1}),
    ("/transfers", {"from_customer_id": A, "to_customer_id": "c-nobody", "points": 1}),
    ("/enrolments/en_nothing/renewals", {"months": 12}),
    ("/enrolments/en_nothing/cancel", {}),
    ("/enrolments/lookups", {"member_number": "$unknown.number"}),
    ("/accounts/c-nobody/referral-code", {}),
]
CONFLICTS: list[tuple[str, Any, str]] = [
    ("/quotes", {"customer_id": A, "points": 10**6}, "insufficient-points"),
    ("/quotes", {"customer_id": A, "reward_id": "$empty"}, "out-of-stock"),
    ("/holds", {"quote_id": "$quote"}, "quote-used"),
    ("/holds", {"quote_id": "$dear"}, "insufficient-points"),
    ("/holds/$hold/commit", {}, "hold-committed"),
    ("/holds/$held/commit", {}, "hold-voided"),
    ("/holds/$kept/commit", {"points": 11}, "hold-exceeded"),
    ("/holds/$whole/commit", {"points": 1}, "hold-is-whole"),
    ("/holds/$hold/void", {}, "hold-committed"),
    ("/holds/$held/void", {}, "hold-voided"),
    ("/redemptions", {"customer_id": A, "points": 10**6}, "insufficient-points"),
    ("/redemptions", {"customer_id": A, "reward_id": "$empty"}, "out-of-stock"),
    ("/redemptions/$box/rollback", {"reason": "?"}, "rolled-back"),
    ("/redemptions/$handed/rollback", {"reason": "?"}, "handed-over"),
    ("/redemptions/$gone/rollback", {"reason": "?"}, "coupon-redeemed"),
    ("/redemptions/$plain/fulfilment", {"state": "sent"}, "nothing-to-hand-over"),
    ("/redemptions/$box/fulfilment", {"state": "sent"}, "rolled-back"),
    ("/redemptions/$handed/fulfilment", {"state": "sent"}, "handed-over"),
    ("/coupons/$committed.coupon_code/redeem", {}, "coupon-voided"),
    ("/coupons/$gone.coupon_code/redeem", {}, "coupon-redeemed"),
    ("/coupons/$unused.coupon_code/redeem", {"customer_id": B}, "not-your-coupon"),
    ("/coupons/$unused.coupon_code/redeem", {"total": money("499")}, "min-spend-not-reached"),
    ("/coupons/$unused.coupon_code/redeem", {"customer_id": GONE}, "customer-erased"),
    ("/coupons/$gone.coupon_code/reserve", {"order_id": "o-8"}, "coupon-redeemed"),
    ("/coupons/$gone.coupon_code/release", {"order_id": "o-8"}, "coupon-redeemed"),
    ("/coupons/$gone.coupon_code/void", {}, "coupon-redeemed"),
    ("/coupons/batches", {"customers": [A, GONE], "coupon": COUPON, "reason": "?"}, "customer-erased"),
    ("/coupons/batches", {"segment": "nobody", "coupon": COUPON, "reason": "?"}, "segment-empty"),
    (f"/accounts/{B}/adjustments", {"points": -999, "reason": "?"}, "insufficient-points"),
    ("/adjustments/$open/approve", {}, "second-person-needed"),
    ("/adjustments/$open/refuse", {}, "second-person-needed"),
    ("/adjustments/$proposed/approve", {}, "adjustment-decided"),
    ("/adjustments/$proposed/refuse", {}, "adjustment-decided"),
    ("2/adjustments/$never/approve", {}, "insufficient-points"),
    ("/transfers", {"from_customer_id": A, "to_customer_id": B, "points": 10**6}, "insufficient-points"),
    ("/transfers", {"from_customer_id": A, "to_customer_id": A, "points": 1}, "same-customer"),
    ("/enrolments", {"customer_id": B}, "already-enrolled"),
    ("/enrolments", {"customer_id": GONE}, "customer-erased"),
    ("/enrolments/$member/renewals", {"months": 12}, "enrolment-cancelled"),
]
INVALID: list[tuple[str, Any]] = [
    ("/quotes", {"customer_id": A, "points": 0}),
    ("/quotes", {"customer_id": A, "points": 1, "reward_id": "$tin"}),
    ("/holds", {"quote_id": "$late", "ttl": 0}),
    ("/holds/$kept/commit", {"points": 0}),
    ("/redemptions", {"customer_id": A}),
    ("/redemptions/$plain/rollback", {"reason": ""}),
    ("/redemptions/$handed/fulfilment", {"state": "lost"}),
    ("/coupons/AAAA/redeem", {}),
    ("/coupons/$unused.coupon_code/reserve", {"order_id": "o-8", "minutes": 0}),
    ("/coupons/AAAA/release", {}),
    ("/coupons/AAAA/void", {}),
    ("/coupons/batches", {"customers": [A, A], "coupon": COUPON, "reason": "?"}),
    (f"/accounts/{A}/adjustments", {"points": 0, "reason": "?"}),
    (f"/accounts/{A}/adjustments", {"points": 1, "reason": "?", "expires_at": NOW.isoformat()}),
    ("/transfers", {"from_customer_id": A, "to_customer_id": B, "points": -1}),
    ("/enrolments", {"customer_id": A, "plan": {"name": "gold", "months": 0}}),
    ("/enrolments/$active/renewals", {"months": 0}),
    ("/enrolments/lookups", {"member_number": "10000011"}),
    ("/rewards", {**TENNER, "coupon": None}),
    ("/programmes", {**PROGRAMME, "currency": "XXX"}),
    ("/simulations", {"purchase": {"customer_id": A}}),
    ("/effects", {}),
    ("/tiers/preview", {**PROGRAMME, "tiers": [{"name": "gold"}]}),
]


@asynccontextmanager
async def busy(databases: Databases) -> AsyncIterator[Living]:
    """A shop in which much has happened: coupons used and void, holds of every kind, proposals, an erasure."""
    async with living(databases) as lived:
        await lived.shop.take(record("purchase-recorded", purchase(GONE, "o-gone")))
        await lived.shop.take(erased(GONE))
        for command in STORY:
            await lived.done(command)
        for command in MORE:
            path, body = command.filled(lived.known)
            answer = await lived.first.post(path, json=body, headers=key())
            assert answer.status_code in (200, 201, 202), (command.name, answer.text)
            lived.known[command.name] = answer.json()
        lived.known["unknown"] = {"code": new_code(), "number": member_number(9_999_999)}
        yield lived


def key() -> dict[str, str]:
    return {"Idempotency-Key": uuid4().hex}


async def refused(lived: Living, path: str, body: Any) -> httpx.Response:
    """A POST that has to be refused, and to leave everything as it was; ``2…`` by the second person."""
    who = lived.second if path.startswith("2") else lived.first
    path, body = Command("", path.lstrip("2"), body).filled(lived.known)
    before = await state(lived.shop.db)
    answer = await who.post(path, json=body, headers=key())
    assert answer.status_code >= 400, (path, body, answer.text)
    assert await state(lived.shop.db) == before, (path, body)
    return answer


async def test_whatever_is_refused_leaves_every_table_as_it_was(databases: Databases) -> None:
    async with busy(databases) as lived:
        for path, body in UNKNOWN:
            answer = await refused(lived, path, body)
            assert answer.status_code == 404, (path, body, answer.text)
        for path, body, code in CONFLICTS:
            answer = await refused(lived, path, body)
            assert (answer.status_code, answer.json()["code"]) == (409, code), (path, body, answer.text)
        for path, body in INVALID:
            answer = await refused(lived, path, body)
            assert answer.status_code == 422, (path, body, answer.text)
        lived.shop.clock.set(lived.shop.clock.now() + MINUTES)
        late: list[tuple[str, Any, str]] = [
            ("/holds", {"quote_id": "$late"}, "quote-expired"),
            ("/holds/$brief/commit", {}, "hold-expired"),
            ("/holds/$brief/void", {}, "hold-expired"),
        ]
        for path, body, code in late:
            answer = await refused(lived, path, body)
            assert (answer.status_code, answer.json()["code"]) == (409, code), (path, body, answer.text)
        proof = await lived.shop.verified()
        assert (proof.broken, sum(proof.books.values())) == (None, 0)


async def test_a_patch_that_is_refused_leaves_every_table_as_it_was(databases: Databases) -> None:
    async with busy(databases) as lived:
        path = f"/rewards/{lived.known['tin']['id']}"
        cases: list[tuple[Any, str | None, int]] = [
            ({"points": 9}, None, 428), ({"points": 9}, '"7"', 412), ({"points": -1}, "*", 422),
            ({"stock": 0}, "*", 409),
        ]  # fmt: skip
        before = await state(lived.shop.db)
        for body, match, status in cases:
            headers = {} if match is None else {"If-Match": match}
            assert (await lived.first.patch(path, json=body, headers=headers)).status_code == status, body
        assert await state(lived.shop.db) == before


def posts(shop: Shop) -> dict[str, Any]:
    """Every POST of loyalty's own."""
    paths = shop.service.app.openapi()["paths"]
    return {path: methods["post"] for path, methods in paths.items() if "post" in methods and path != REPLAY}


def template(path: str, known: dict[str, Any]) -> str:
    """The route that a path of the lists above is of."""
    parts = path.lstrip("2").strip("/").split("/")
    if parts[0] == "accounts":
        parts[1] = "{customer_id}"
    elif parts[0] == "coupons" and parts[1] != "batches":
        parts[1] = "{code}"
    elif len(parts) == 3 or parts[-1].startswith("$"):
        parts[1] = "{id}"
    return "/" + "/".join(parts)


async def test_every_command_that_loyalty_takes_stands_here(databases: Databases) -> None:
    async with living(databases) as lived:
        listed = {template(path, lived.known) for path, *_ in (*UNKNOWN, *CONFLICTS, *INVALID)}
        assert set(posts(lived.shop)) - listed == set()


@pytest.mark.parametrize(
    ("scope", "keyed", "status"), [(None, True, 401), ("loyalty:read", True, 403), ("loyalty:write", False, 400)]
)
async def test_who_may_not_or_has_no_key_changes_nothing(
    databases: Databases, scope: str | None, keyed: bool, status: int
) -> None:
    async with busy(databases) as lived:
        before = await state(lived.shop.db)
        routes = posts(lived.shop)
        headers = key() if keyed else {}
        if scope:
            headers["Authorization"] = f"Bearer {issue_token(SECRET, scope)}"
        for command in (*STORY, *MORE):
            path, body = command.filled(lived.known)
            parameters = routes[template(command.path, lived.known)].get("parameters", ())
            if status == 400 and not any(one["name"] == "Idempotency-Key" and one["required"] for one in parameters):
                continue
            if status == 403 and command.name in READERS:
                continue
            async with lived.shop.client(None) as nobody:
                answer = await nobody.post(path, json=body, headers=headers)
            assert answer.status_code == status, (command.name, answer.text)
        assert await state(lived.shop.db) == before
