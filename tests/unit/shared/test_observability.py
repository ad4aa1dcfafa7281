"""Trace contexts are carried on, and secrets stay out of the log."""

import io
import json
import logging
from typing import Any, Protocol

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from shared.observability import child_of, configure_logging, log_plainly, new_traceparent, parse_traceparent

VALID = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Logged(Protocol):
    def __call__(self, **fields: Any) -> dict[str, Any]: ...


@pytest.fixture
def logged(log: io.StringIO) -> Logged:
    """Logs `thing.done` with these fields, and gives back the line."""

    def write(**fields: Any) -> dict[str, Any]:
        structlog.get_logger().info("thing.done", **fields)
        line: dict[str, Any] = json.loads(log.getvalue().splitlines()[-1])
        return line

    return write


def test_a_valid_traceparent_is_read() -> None:
    context = parse_traceparent(VALID)
    assert context is not None
    assert (context.trace_id, context.span_id, context.flags) == (
        "4bf92f3577b34da6a3ce929d0e0e4736",
        "00f067aa0ba902b7",
        "01",
    )
    assert str(context) == VALID


def test_a_later_version_is_read_as_far_as_it_is_known() -> None:
    assert str(parse_traceparent("cc" + VALID[2:] + "-what-the-future-brings")) == VALID


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        VALID.upper(),
        VALID + "-more",
        VALID + "\n",
        "ff" + VALID[2:],
        "00-" + "0" * 32 + "-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-" + "0" * 16 + "-01",
        VALID.replace("4", "٤"),
        VALID[:-1],
    ],
)
def test_an_invalid_traceparent_is_none(header: str | None) -> None:
    assert parse_traceparent(header) is None


def test_a_child_stays_in_the_trace_with_a_span_of_its_own() -> None:
    child = parse_traceparent(child_of(VALID))
    assert child is not None
    assert child.trace_id == VALID.split("-")[1]
    assert child.span_id != VALID.split("-")[2]


@given(st.none() | st.text(max_size=60))
def test_whatever_the_parent_a_child_is_valid(parent: str | None) -> None:
    assert parse_traceparent(child_of(parent)) is not None
    assert child_of(parent) != new_traceparent()


@pytest.mark.parametrize(
    "field",
    ["authorization", "Authorization", "password", "token", "access_token", "jwtSecret", "x-api-key", "cookie"],
)
def test_a_field_with_a_secrets_name_is_struck_out(logged: Logged, field: str) -> None:
    line = logged(**{"context": {field: "hunter2"}, field: "hunter2"})
    assert "hunter2" not in json.dumps(line)
    assert line[field] == "***"


@pytest.mark.parametrize(
    ("text", "struck"),
    [
        ("postgresql://roost:hunter2@db:5432/profile", "postgresql://roost:***@db:5432/profile"),
        ("connect postgresql+asyncpg://u:hunter2@h/d now", "connect postgresql+asyncpg://u:***@h/d now"),
        ("sent Authorization: Bearer hunter2.hunter2.x", "sent Authorization: Bearer ***"),
        ("https://roost.example/a:b", "https://roost.example/a:b"),
    ],
)
def test_secrets_inside_texts_are_struck_out(logged: Logged, text: str, struck: str) -> None:
    assert logged(detail=text, more=[text])["detail"] == struck
    assert logged(detail=text, more=[text])["more"] == [struck]
    assert struck in logged(error=OSError(text))["error"]


def test_what_is_no_secret_stays(logged: Logged) -> None:
    line = logged(idempotency_key="k-1", tokens_seen=3, rows=5, done=True)
    assert line.items() >= {"idempotency_key": "k-1", "tokens_seen": 3, "rows": 5, "done": True}.items()


def test_the_first_argument_of_a_log_call_is_its_action(logged: Logged) -> None:
    line = logged()
    assert (line["action"], line["level"]) == ("thing.done", "info")
    assert line["timestamp"].endswith("+00:00")


@pytest.mark.parametrize("value", ["\ud800", object(), {1: {2}}, b"\xff", float("nan")], ids=range(5))
def test_no_value_breaks_the_log(logged: Logged, value: object) -> None:
    assert logged(value=value)


def test_the_libraries_logs_come_out_alike(log: io.StringIO) -> None:
    logging.getLogger("aiokafka").warning("lost %s", "postgresql://u:hunter2@h/d")
    line = json.loads(log.getvalue())
    assert (
        line.items()
        >= {
            "action": "library.logged",
            "logger": "aiokafka",
            "level": "warning",
            "message": "lost postgresql://u:***@h/d",
        }.items()
    )


def test_the_console_shows_action_and_fields(log: io.StringIO) -> None:
    configure_logging(json=False, stream=log)
    structlog.get_logger().info("thing.done", rows=5)
    assert "thing.done" in log.getvalue()
    assert "rows=5" in log.getvalue()


def test_addresses_that_are_called_stay_out_of_the_log(log: io.StringIO) -> None:
    logging.getLogger("httpx").info("HTTP Request: GET https://provider.example/send?key=hunter2")
    assert log.getvalue() == ""


@pytest.mark.parametrize("level", ["INFO", "WARNING"])
def test_a_plain_line_is_like_any_other_and_keeps_to_the_level(log: io.StringIO, level: str) -> None:
    configure_logging(level=level, stream=log)
    log_plainly("thing.done", rows=5)
    structlog.get_logger().info("thing.done", rows=5)
    plain, other = [json.loads(line) | {"timestamp": ""} for line in log.getvalue().splitlines()] or [{}, {}]
    assert plain == other
    assert bool(plain) == (level == "INFO")


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(ValueError, match="loud"):
        configure_logging(level="loud")
