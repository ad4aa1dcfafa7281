"""Personal codes: whose they are, who makes them, and when one counts that was used before."""

from tests.integration.loyalty.shop import Shop
from tests.integration.loyalty.test_merges import bought
from tests.integration.loyalty.test_referrals import ANNA, BEN, CARL, brought, code_of, members, post, states

SERVICE = "loyalty"


async def test_a_code_is_made_once_and_is_its_customer_s_alone(shop: Shop) -> None:
    await shop.take(bought(ANNA, "o-1"), bought(BEN, "o-2"))
    async with shop.client(customer_id=ANNA) as anna, shop.client(customer_id=BEN) as ben:
        path = f"/accounts/{ANNA}/referral-code"
        assert (await anna.get(path)).status_code == 404
        made = await anna.post(path, headers={"Idempotency-Key": "k-1"})
        assert made.status_code == 201, made.text
        again = await anna.post(path)
        assert (again.status_code, again.json()) == (200, made.json())
        replayed = await anna.post(path, headers={"Idempotency-Key": "k-1"})
        assert (replayed.status_code, replayed.json()) == (201, made.json())
        assert (await anna.get(path)).json() == made.json()
        assert {(await ben.get(path)).status_code, (await ben.post(path)).status_code} == {404}
        assert (await ben.post(f"/accounts/{BEN}/referral-code")).json()["code"] != made.json()["code"]
        assert (await anna.post("/accounts/nobody/referral-code")).status_code == 404


async def test_his_own_token_makes_a_code_to_read_with_and_staff_s_needs_to_write(shop: Shop) -> None:
    await shop.take(bought(ANNA, "o-1"))
    path = f"/accounts/{ANNA}/referral-code"
    async with shop.client() as reader:
        refused = await reader.post(path)
        assert (refused.status_code, refused.json()["code"]) == (403, "insufficient-scope")
        assert (await reader.get(path)).status_code == 404
    async with shop.client("loyalty:read loyalty:write") as staff:
        assert (await staff.post("/accounts/nobody/referral-code")).status_code == 404
        made = await staff.post(path)
        assert (made.status_code, made.json()["customer_id"]) == (201, ANNA)
    async with shop.client(customer_id=ANNA) as anna:
        again = await anna.post(path)
        assert (again.status_code, again.json()) == (200, made.json())


async def test_a_code_that_was_made_after_it_was_used_counts(shop: Shop) -> None:
    await post(shop)
    await members(shop, BEN)
    code = await code_of(shop, BEN)
    async with shop.db.transaction() as tx:
        await tx.execute("DELETE FROM referral_codes")
    await shop.take(brought(CARL, "o-1", code))
    assert await states(shop) == {"o-1": ("refused", "unknown-code")}
    assert await code_of(shop, BEN) == code
    assert await states(shop) == {"o-1": ("pending", None)}
