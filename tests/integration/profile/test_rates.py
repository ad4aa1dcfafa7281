"""Orders in other currencies: by the rate of their day, for good, in whatever order things arrive."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from fractions import Fraction
from typing import Any

import httpx
import pytest

from shared import db
from shared.clock import VirtualClock
from tests.integration.profile.house import Profile, in_batches, profile_over, token
from tests.integration.profile.test_counting import count
from tests.integration.profile.test_metrics import kpi
from tests.integration.profile.test_patterns import pattern
from tests.kit.builders import NOW, about_order, line, money, purchase, record, returned
from tests.kit.databases import Databases

SERVICE = "profile"
TODAY = date(2026, 11, 20)


async def state(profile: Profile, currency: str, rate: str, days_ago: int = 0, days: int = 1, **headers: str) -> Any:
    first = TODAY - timedelta(days=days_ago)
    body = {"rate": rate, "source": "bank", "valid_to": str(first + timedelta(days=days - 1))}
    return await profile.client.put(f"/rates/{currency}/{first}", json=body, headers=headers)


async def convert(profile: Profile) -> None:
    """As the job does it, and counts."""
    job = next(job for job in profile.service.runner.jobs if job.name == "convert-orders")
    await job.run()
    assert await job.next_due() is None
    await count(profile)


async def spend(profile: Profile, customer: str = "pos:1") -> tuple[str, list[dict[str, str]]]:
    value = (await profile.view(customer))["value"]
    return value["lifetime_spend"]["amount"], value["unconverted"]


async def test_a_partial_return_before_its_order_in_another_currency_ends_in_the_exact_net_value(
    profile: Profile,
) -> None:
    await state(profile, "USD", "32.145")
    await profile.take(record("purchase-returned", returned("o", amount=money("3.33", "USD"))))
    await profile.take(record("purchase-recorded", purchase(order_id="o", total="10.00", currency="USD")))
    # 6.67 USD at 32.145 are 214.40715 TWD.
    assert await spend(profile) == ("214.41", [])
    shown = (await profile.client.get("/customers/pos:1/purchases")).json()["items"][0]
    assert (shown["net"], shown["converted"]["net"]) == (money("6.67", "USD"), money("214.41"))
    assert (shown["converted"]["rate"], shown["converted"]["version"]) == ("32.145", 1)
    await count(profile)
    sales = await kpi(profile, "sales")
    assert (sales["gross"], sales["returned"], sales["net"]) == (money("321.45"), money("107.04"), money("214.41"))
    assert sales["unconverted"] == []
    assert (await pattern(profile))["spend"] == money("214.41")


async def test_orders_wait_for_the_rate_of_their_day_and_are_counted_when_it_comes(profile: Profile) -> None:
    for days in (0, 1, 4):
        bought = purchase(f"pos:{days}", total="10.00", currency="USD", days_ago=days)
        await profile.take(record("purchase-recorded", bought))
    await state(profile, "USD", "30", days_ago=1)
    await state(profile, "USD", "31", days_ago=7, days=5)
    await convert(profile)
    waiting = ("0.00", [money("10.00", "USD")])
    assert [await spend(profile, f"pos:{n}") for n in (0, 1, 4)] == [waiting, ("300.00", []), ("310.00", [])]
    assert (await kpi(profile, "sales"))["unconverted"] == [{"orders": 1, "net": money("10.00", "USD")}]
    assert (await kpi(profile, "sales"))["numerator"] == "610.00"


async def test_an_order_keeps_the_rate_that_it_was_first_counted_with(profile: Profile) -> None:
    first = await state(profile, "USD", "30")
    await profile.take(record("purchase-recorded", purchase(order_id="a", total="10.00", currency="USD")))
    assert (await state(profile, "USD", "29")).status_code == 428
    again = await state(profile, "USD", "30", **{"If-Match": first.headers["ETag"]})
    assert again.json()["version"] == 1
    assert (await state(profile, "USD", "29", **{"If-Match": again.headers["ETag"]})).json()["version"] == 2
    await convert(profile)
    await profile.take(
        record("purchase-recorded", purchase(order_id="b", total="1.00", currency="USD")),
        record("purchase-returned", returned("a", amount=money("5.00", "USD"))),
    )
    assert await spend(profile) == ("179.00", [])
    bought = (await profile.client.get("/customers/pos:1/purchases")).json()["items"]
    assert {one["order_id"]: one["converted"]["version"] for one in bought} == {"a": 1, "b": 2}
    stated = (await profile.client.get(f"/rates/USD/{TODAY}")).json()
    assert (stated["rate"], [one["rate"] for one in stated["older"]]) == ("29", ["30"])
    assert [one["version"] for one in (await profile.client.get("/rates?from=USD")).json()["items"]] == [2]


async def test_any_order_of_events_and_rates_gives_one_state(databases: Databases) -> None:
    dice = random.Random(20261120)
    records, worth = [], dict.fromkeys(("pos:0", "pos:1"), 0)
    rates = {("USD", n): dice.choice(["32.145", "31.5", "0.333333333333"]) for n in range(8)}
    rates |= {("JPY", n): dice.choice(["0.21", "0.205"]) for n in range(8)}
    for number in range(24):
        currency, days, customer = dice.choice(["USD", "JPY", "TWD"]), dice.randrange(8), f"pos:{number % 2}"
        lines = [line(str(n), amount=str(n + 1), currency=currency) for n in range(3)]
        bought = purchase(customer, f"o{number}", total="6", currency=currency, days_ago=days, lines=lines)
        records.append(record("purchase-recorded", bought, id=f"o{number}"))
        kept = 6
        if number % 3 == 0:
            back = returned(f"o{number}", customer_id=customer, lines=[{"line_id": "1", "quantity": 1}])
            records.append(record("purchase-returned", {**back, "return_id": f"r{number}"}, id=f"r{number}"))
            kept -= 2
        if number % 7 == 0:
            gone = about_order(f"o{number}", customer_id=customer)
            records.append(record("purchase-cancelled", gone, id=f"x{number}"))
            kept = 0
        # Python's own rounding of a fraction is half to even.
        worth[customer] += round(Fraction(rates.get((currency, days), "1")) * kept * 100)
    hashes = set()
    for _ in range(5):
        doings = dice.sample(records + dice.sample(records, 10), len(records) + 10)
        async with databases.fresh(SERVICE) as made:
            service = profile_over(made, clock := VirtualClock(NOW))
            transport = httpx.ASGITransport(service.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://profile", headers=token()) as client:
                profile = Profile(service, clock, client)
                stated = dice.sample(sorted(rates.items()), len(rates))
                for batch in in_batches(doings, dice.choice([3, 7, 50])):
                    await profile.take(*batch)
                    while stated and dice.random() < 0.7:
                        (currency, days), rate = stated.pop()
                        await state(profile, currency, rate, days)
                    if dice.random() < 0.3:
                        await convert(profile)
                for (currency, days), rate in stated:
                    await state(profile, currency, rate, days)
                await convert(profile)
                for customer, minor in worth.items():
                    assert await spend(profile, customer) == (f"{minor // 100}.{minor % 100:02d}", [])
                hashes.add(await profile.state_hash())
                net = sum(worth.values())
                assert (await kpi(profile, "sales"))["numerator"] == f"{net // 100}.{net % 100:02d}"
            await service.db.close()
    assert len(hashes) == 1


async def test_a_rate_for_loaded_history_moves_nobody_aloud(profile: Profile) -> None:
    bought = purchase(total="9000.00", currency="USD")
    await profile.take(record("purchase-recorded", bought, backfill=True))
    place = next(job for job in profile.service.runner.jobs if job.name == "place")
    await place.run()
    await state(profile, "USD", "30")
    await convert(profile)
    await place.run()
    assert "rfm:5-1-5" in (await profile.view("pos:1"))["segments"]
    assert await profile.published("segment-changed") == []


async def test_a_batch_in_the_houses_currency_asks_nothing_of_rates(profile: Profile) -> None:
    with statements() as ours:
        await profile.take(*(record("purchase-recorded", purchase(f"pos:{n}")) for n in range(3)))
    with statements() as theirs:
        bought = [purchase(f"web:{n}", currency="USD" if n else "TWD") for n in range(3)]
        await profile.take(*(record("purchase-recorded", one) for one in bought))
    assert not any("rates" in sql for sql in ours)
    assert any("order_rates" in sql for sql in theirs)


@contextmanager
def statements() -> Iterator[list[str]]:
    ran: list[str] = []
    compiled = db._compiled

    def note(sql: str) -> tuple[str, tuple[str, ...]]:
        ran.append(sql)
        return compiled(sql)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(db, "_compiled", note)
        yield ran


async def test_a_rate_is_a_positive_decimal_of_another_currency(profile: Profile) -> None:
    for currency, rate, days, pointer, words in (
        ("TWD", "1", 1, "/path/currency", "other than the house's"), ("ABC", "1", 1, "/path/currency", "ISO 4217"),
        ("usd", "1", 1, "/path/currency", "three capital letters"), ("USD", "0.000", 1, "/rate", "a decimal above 0"),
        ("USD", "1e3", 1, "/rate", "plain digits"), ("USD", "-1", 1, "/rate", "a decimal above 0"),
        ("USD", "0" * 20 + "1", 1, "/rate", "20 characters"), ("USD", "1", 400, "/valid_to", "366 days"),
    ):  # fmt: skip
        answer = await state(profile, currency, rate, days=days)
        [error] = answer.json()["errors"]
        assert (answer.status_code, error["pointer"]) == (422, pointer)
        assert words in error["message"]
    reader = token("profile:read", "pos:1")
    assert (await profile.client.get("/rates", headers=reader)).status_code == 403
