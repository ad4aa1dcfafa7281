"""Commands that talk to a running system end in a line that tells what is wrong."""

import httpx
import pytest
import typer

from deploy.remote import Remote


def remote(handler: httpx.MockTransport) -> Remote:
    return Remote("http://roost", httpx.Client(base_url="http://roost", transport=handler))


def test_a_problem_is_told_with_the_places_that_it_names() -> None:
    problem = {
        "code": "invalid-request",
        "detail": "The request isn't valid; errors says where.",
        "errors": [{"pointer": "/query/as_of", "message": "Input should be a valid datetime"}],
    }
    system = remote(httpx.MockTransport(lambda _: httpx.Response(422, json=problem)))
    with pytest.raises(typer.BadParameter, match=r"422 invalid-request: .*; /query/as_of: Input should be"):
        system.get("/profile/imports")


def test_what_is_no_answer_of_ours_is_told_all_the_same() -> None:
    too_large = remote(httpx.MockTransport(lambda _: httpx.Response(413, html="<h1>too large</h1>")))
    with pytest.raises(typer.BadParameter, match="413 Request Entity Too Large"):
        too_large.get("/profile/imports")

    def refused(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("connection refused", request=request)

    with pytest.raises(typer.BadParameter, match="http://roost does not answer: connection refused"):
        remote(httpx.MockTransport(refused)).get("/profile/imports")
