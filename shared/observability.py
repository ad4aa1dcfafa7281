"""Logs, trace context and metric registries, the same for every service and every role."""

import logging
import os
import re
import sys
from collections.abc import MutableMapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, TextIO

import msgspec
import structlog
from prometheus_client import CollectorRegistry, ProcessCollector

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII | re.DOTALL)

current_traceparent: ContextVar[str | None] = ContextVar("current_traceparent", default=None)
"""The `traceparent` of the request or event in hand; what is published on its behalf derives from it."""


@dataclass(frozen=True, slots=True)
class TraceContext:
    """A W3C trace context: lower-case hex ids of 32 and 16 digits, flags of 2."""

    trace_id: str
    span_id: str
    flags: str = "01"

    def __str__(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{self.flags}"


def parse_traceparent(header: str | None) -> TraceContext | None:
    """The context a `traceparent` header names; None where absent or invalid (W3C Trace Context, 3.2)."""
    if header is None or (match := _TRACEPARENT.fullmatch(header)) is None:
        return None
    version, trace_id, span_id, flags, rest = match.groups()
    if version == "ff" or (version == "00" and rest is not None):
        return None
    if trace_id == "0" * 32 or span_id == "0" * 16:
        return None
    return TraceContext(trace_id, span_id, flags)


def new_trace() -> TraceContext:
    """A context that starts a trace of its own."""
    digits = os.urandom(24).hex()
    return TraceContext(digits[:32], digits[32:])


def new_traceparent() -> str:
    """The `traceparent` of a new trace."""
    return str(new_trace())


def child_of(traceparent: str | None) -> str:
    """A `traceparent` of the same trace with its own span; a new trace where the given one is no good."""
    context = parse_traceparent(traceparent)
    if context is None:
        return new_traceparent()
    return str(TraceContext(context.trace_id, os.urandom(8).hex(), context.flags))


def new_registry() -> CollectorRegistry:
    """A metric registry for one service, so that four services in one process don't collide on names."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    return registry


def configure_logging(*, json: bool = True, level: str = "INFO", stream: TextIO | None = None) -> None:
    """Send structlog's and the standard library's logs to `stream` (default stderr), one line an entry.

    The first argument of a log call is a stable name, and comes out as `action`
    (`log.info("relay.published", rows=5)`); free text of other libraries comes out as `message`.
    Secrets are struck out (`redact`). Raises ValueError for an unknown level.
    """
    out = stream or sys.stderr
    threshold = logging.getLevelNamesMapping().get(level.upper())
    if threshold is None:
        raise ValueError(f"unknown log level {level!r}")
    chain: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        _stamp,
        structlog.processors.format_exc_info,
    ]
    last: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(serializer=_to_json)
        if json
        else structlog.dev.ConsoleRenderer(colors=False, event_key="action")
    )
    structlog.configure(
        processors=[*chain, _name_action, redact, last],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(out),
        cache_logger_on_first_use=False,
    )
    global _json_lines
    _json_lines = out if json and threshold <= logging.INFO else None
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *chain, _name_foreign, redact],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, last],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(threshold)
    for talkative in ("httpx", "httpcore"):
        # They write down whole addresses, which may carry keys and customers.
        logging.getLogger(talkative).setLevel(max(threshold, logging.WARNING))


_json_lines: TextIO | None = None


def log_plainly(action: str, **fields: str | int | float) -> None:
    """`log.info` for hot paths, at a fifth of its 20 µs: the context isn't merged and nothing is struck out.

    Only for fields that can't hold a secret.
    """
    if _json_lines is None:
        structlog.get_logger().info(action, **fields)
        return
    entry = {"timestamp": datetime.now(UTC).isoformat(), "level": "info", "action": action, **fields}
    _json_lines.write(_to_json(entry) + "\n")
    _json_lines.flush()


_SECRET_WORDS = frozenset({"authorization", "cookie", "password", "passwd", "secret", "token", "apikey"})
_DSN_PASSWORD = re.compile(r"(://[^\s:/@]*):[^\s/@]*(?:@[^\s/@]*)*@")
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{8,}")


def redact(_: Any, __: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor: strikes out secrets by the field's name, passwords in DSNs, bearer tokens."""
    for name, value in entry.items():
        kind = type(value)
        if kind is str and not _is_secret(name) and " " not in value and "://" not in value:
            continue
        if kind is not int and kind is not float:
            entry[name] = _struck_out(name, value)
    return entry


def _struck_out(name: str, value: Any) -> Any:
    if value is None or isinstance(value, int | float):
        return value
    if _is_secret(name):
        return "***"
    if isinstance(value, BaseException):
        value = repr(value)
    if isinstance(value, str):
        if "://" in value:
            value = _DSN_PASSWORD.sub(r"\1:***@", value)
        return _BEARER.sub(r"\1 ***", value) if " " in value else value
    if isinstance(value, dict):
        return {key: _struck_out(str(key), inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_struck_out(name, inner) for inner in value]
    return value


@lru_cache(maxsize=1024)
def _is_secret(name: str) -> bool:
    words = re.split(r"[^a-z0-9]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower())
    return not _SECRET_WORDS.isdisjoint(words) or "api_key" in "_".join(words)


def _stamp(_: Any, __: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    # The machine's time: a log under a virtual clock must still say when things happened to the process.
    entry["timestamp"] = datetime.now(UTC).isoformat()
    return entry


def _name_action(_: Any, __: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    if "event" in entry:
        entry["message" if "action" in entry else "action"] = entry.pop("event")
    return entry


def _name_foreign(_: Any, __: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    entry["message"] = entry.pop("event", "")
    entry["action"] = "library.logged"
    return entry


def _to_json(entry: Any, **_: Any) -> str:
    try:
        return msgspec.json.encode(entry, enc_hook=repr).decode()
    except (UnicodeEncodeError, TypeError, ValueError, RecursionError):
        # A log line is never worth an exception: what can't be encoded is shown in Python's own words.
        return msgspec.json.encode({"action": "log.unencodable", "message": ascii(entry)}).decode()
