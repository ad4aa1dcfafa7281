"""A write names the version it changes."""

import pytest

from shared.http.etags import IfMatch, Precondition, etag
from shared.http.problems import ProblemError
from tests.unit.shared.little_app import bearer, calling, little_app, problem

ORDER = {"lines": [{"sku": "tea", "quantity": 1}]}


@pytest.mark.parametrize("header", ['"7"', "*", '"6", "7"', ' "7" ', 'W/"1","7"'])
async def test_the_version_asked_for_is_changed(header: str) -> None:
    async with calling(little_app(), headers=bearer("orders:write")) as client:
        response = await client.put("/orders/c-1", json=ORDER, headers={"If-Match": header})
    assert response.status_code == 200


@pytest.mark.parametrize("header", ['"6"', 'W/"7"', '"07"', '""'])
async def test_another_version_fails_and_names_the_present_one(header: str) -> None:
    async with calling(little_app(), headers=bearer("orders:write")) as client:
        response = await client.put("/orders/c-1", json=ORDER, headers={"If-Match": header})
    problem(response, 412, "precondition-failed")
    assert response.headers["etag"] == '"7"'


@pytest.mark.parametrize("header", ["7", '"7', '"7" "8"', '*, "7"', ",", '"7",'])
async def test_what_is_no_list_of_etags_is_invalid(header: str) -> None:
    async with calling(little_app(), headers=bearer("orders:write")) as client:
        response = await client.put("/orders/c-1", json=ORDER, headers={"If-Match": header})
    assert problem(response, 422, "invalid-request")["errors"][0]["pointer"] == "/header/if-match"


@pytest.mark.parametrize("tags", [None, frozenset({'"1"'})])
def test_what_is_not_there_matches_nothing(tags: frozenset[str] | None) -> None:
    with pytest.raises(ProblemError) as refused:
        Precondition(tags).require(None)
    assert refused.value.status == 412


def test_an_etag_is_strong() -> None:
    assert etag(12) == '"12"'


def test_where_it_is_not_required_the_document_says_so() -> None:
    assert IfMatch(required=False).parameters[0]["required"] is False
    assert 428 not in IfMatch(required=False).statuses
