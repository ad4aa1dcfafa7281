"""Lists come in pages, each item once."""

import base64
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.http.pagination import Paging, decode_cursor, encode_cursor
from shared.http.problems import ProblemError
from tests.unit.shared.little_app import bearer, calling, little_app, problem

KEY = (datetime(2026, 11, 20, 8, 15, 0, 123456, tzinfo=UTC), "c-42", 7)


@pytest.mark.parametrize("limit", [1, 50, 60, 119, 120, 200])
async def test_following_the_cursor_gives_every_item_once(limit: int) -> None:
    seen: list[int] = []
    cursor: str | None = ""
    async with calling(little_app(), headers=bearer("orders:read")) as client:
        while cursor is not None:
            page = (
                await client.get("/orders", params={"limit": limit} | ({"cursor": cursor} if cursor else {}))
            ).json()
            assert len(page["items"]) <= limit
            seen += page["items"]
            cursor = page["next_cursor"]
    assert seen == list(range(120))


async def test_a_page_has_fifty_items_unless_told() -> None:
    async with calling(little_app(), headers=bearer("orders:read")) as client:
        assert len((await client.get("/orders")).json()["items"]) == 50
        problem(await client.get("/orders?limit=0"), 422, "invalid-request")
        problem(await client.get("/orders?limit=201"), 422, "invalid-request")


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "%%%",
        "ü",
        encode_cursor(("c-1",)),
        encode_cursor((1, 2)),
        encode_cursor(()),
        encode_cursor((2**63,)),
        base64.urlsafe_b64encode(msgspec.msgpack.encode([1]) + b"x").decode(),
        base64.urlsafe_b64encode(b"\x91" * 700).decode(),
    ],
)
async def test_a_cursor_that_is_not_ours_is_invalid(cursor: str) -> None:
    async with calling(little_app(), headers=bearer("orders:read")) as client:
        response = await client.get("/orders", params={"cursor": cursor})
    assert problem(response, 422, "invalid-cursor")["errors"][0]["pointer"] == "/query/cursor"


@pytest.mark.parametrize(
    "values", [("a\0b",), (datetime(2026, 1, 1),), (datetime(9999, 12, 31, tzinfo=UTC),)]
)
def test_a_cursor_holds_nothing_that_the_database_refuses(values: tuple[str | datetime]) -> None:
    with pytest.raises(ProblemError):
        decode_cursor(encode_cursor(values), tuple[type(values[0])])  # type: ignore[misc, arg-type]


def test_a_sort_key_comes_back_as_it_was() -> None:
    assert decode_cursor(encode_cursor(KEY), tuple[datetime, str, int]) == KEY
    other = (date(2026, 1, 1), Decimal("1.50"), UUID(int=5))
    assert decode_cursor(encode_cursor(other), tuple[date, Decimal, UUID]) == other


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
def test_any_text_is_a_cursor_or_invalid(cursor: str) -> None:
    refused = None
    try:
        decode_cursor(cursor, tuple[datetime, str, int])
    except ProblemError as error:
        refused = error
    assert refused is None or refused.code == "invalid-cursor"


def test_the_last_page_has_no_cursor() -> None:
    paging = Paging(limit=2, cursor=None)
    assert paging.next_cursor(["a", "b"], lambda row: (row,)) is None
    cursor = paging.next_cursor(["a", "b", "c"], lambda row: (row,))
    assert cursor is not None
    assert decode_cursor(cursor, tuple[str]) == ("b",)
