"""Everything that loyalty holds of one person: nothing of it is forgotten, nobody else's is in it."""

from services.loyalty.exports.http import ExportView
from services.loyalty.exports.store import LEFT_OUT, SECTIONS
from tests.integration.loyalty.shop import Shop
from tests.integration.loyalty.test_merges import NEW, OLD, bought, merged
from tests.kit.builders import at, money, record, returned
from tests.kit.exported import forgotten

SERVICE = "loyalty"
OTHER = "c-other"


async def test_every_column_of_every_table_is_exported_or_left_out_with_a_reason(shop: Shop) -> None:
    assert await forgotten(shop.db, SECTIONS, LEFT_OUT) == set()


async def planted(shop: Shop) -> None:
    await shop.post(tiers=[{"name": "silver", "qualify": {"spend": "100", "window_days": 365}}])
    await shop.take(
        bought(OLD, "o-1", "1000", 40, staff_id="till:3"), bought(NEW, "o-2", "500", 3), bought(OTHER, "o-9", "700"),
    )  # fmt: skip
    await shop.take(record("purchase-returned", returned("o-1", customer_id=OLD, amount=money("100"))))
    await shop.take(merged())


async def test_the_document_has_the_whole_person_under_all_his_ids(shop: Shop) -> None:
    await planted(shop)
    async with shop.client() as http:
        answer = await http.get(f"/accounts/{OLD}/export")
        assert answer.status_code == 200, answer.text
        assert answer.json() == (await http.get(f"/accounts/{NEW}/export")).json()
        told = (await http.get(f"/accounts/{OLD}/entries")).json()["items"]
    document = ExportView.model_validate(answer.json())
    assert (document.customer_id, document.customer_ids) == (NEW, [NEW, OLD])
    assert OTHER not in answer.text
    assert {one["customer_id"]: one["merged_into"] for one in document.accounts} == {OLD: NEW, NEW: None}
    assert {(one["customer_id"], one["seq"], one["hash"]) for one in document.entries} == {
        (one["customer_id"], one["seq"], one["hash"]) for one in told
    }
    assert {one["kind"] for one in document.entries} >= {"earned", "reversed"}
    assert {one["source_id"]: one["customer_id"] for one in document.lots} == {"o-1": OLD, "o-2": NEW}
    assert {one["tier"] for one in document.tiers} == {"silver"}
    assert {one["kind"] for one in document.events} == {"purchase-recorded", "purchase-returned"}
    assert [one["from_id"] for one in document.merges] == [OLD]


async def test_a_customer_gets_his_own_without_staff_and_nobody_else_s(shop: Shop) -> None:
    await planted(shop)
    async with shop.client() as http:
        assert "till:3" in (await http.get(f"/accounts/{NEW}/export")).text
    async with shop.client(customer_id=OLD) as himself:
        own = await himself.get(f"/accounts/{NEW}/export")
        assert own.status_code == 200
        assert "till:3" not in own.text
    async with shop.client(customer_id=OTHER) as other:
        assert (await other.get(f"/accounts/{NEW}/export")).status_code == 404
    async with shop.client("churn:read") as http:
        assert (await http.get(f"/accounts/{NEW}/export")).status_code == 403


async def test_of_who_is_unknown_or_erased_there_is_none(shop: Shop) -> None:
    await planted(shop)
    cause = {"source": "/roost/profile/requests", "id": "r"}
    said = {"customer_id": NEW, "sequence": 9, "caused_by": cause, "occurred_at": at(0)}
    await shop.take(record("customer-erased", {**said, "erasure_id": "e_1", "customer_ids": [NEW, OLD]}))
    async with shop.client() as http:
        assert (await http.get("/accounts/nobody/export")).status_code == 404
        for who in (OLD, NEW):
            assert (await http.get(f"/accounts/{who}/export")).status_code == 410
    async with shop.client(customer_id=NEW) as himself:
        assert (await himself.get(f"/accounts/{NEW}/export")).status_code == 404
