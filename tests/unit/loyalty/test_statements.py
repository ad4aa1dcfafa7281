"""A statement is in words, adds up, and is what was signed."""

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, get_args
from zoneinfo import ZoneInfo

import pytest
from typer.testing import CliRunner

from deploy.cli import app
from services.loyalty.ledger.domain import Entry, Kind
from services.loyalty.statements.documents import InvalidStatement, digest, signed, verify
from services.loyalty.statements.domain import bounds, statement, words
from services.profile.erasures import receipts
from shared.signing import public_key

SEED = bytes(range(32))
PEM = public_key(SEED)
RECEIPT = receipts.sign({"iss": "a", "sub": "b", "iat": 1}, SEED)
TAIPEI = ZoneInfo("Asia/Taipei")
AT = datetime(2026, 10, 20, 8, tzinfo=UTC)
ENTRIES = [
    Entry(1, 4, "earned", "issued", "pending", 100, "order", "o-1", 1, AT, AT, "/shop", "e-1"),
    Entry(1, 5, "released", "pending", "available", 100, "order", "o-1", 1, AT, AT, "/shop", "e-1"),
    Entry(1, 6, "owed", "debt", "redeemed", 30, "take", "t-1", None, AT - timedelta(days=40), AT, "/shop", "e-2"),
]


def document() -> str:
    opening = {"available": 20, "debt": -5, "issued": -25, "expired": 10}
    said = statement("c-1", date(2026, 10, 1), TAIPEI, opening, ENTRIES, [], (6, b"\x01\x02"))
    return signed(said, 1_793_462_400, SEED)


@pytest.mark.parametrize("kind", get_args(Kind))
@pytest.mark.parametrize("origin", ["order", "gift", "take"])
def test_every_kind_of_entry_has_its_words_in_both_languages(kind: Kind, origin: str) -> None:
    entry = Entry(1, 1, kind, "issued", "pending", 7, origin, "o-1", 1, AT, AT, "/shop", "e-1")
    said = words(entry)
    assert said.keys() == {"en", "zh-CN"}
    assert all("7" in text and "{" not in text for text in said.values())
    assert said["zh-CN"] != said["en"]


def test_a_month_is_the_house_s_and_ends_with_its_last_instant() -> None:
    start, end = bounds(date(2026, 12, 1), TAIPEI)
    assert (start.isoformat(), end.isoformat()) == ("2026-12-01T00:00:00+08:00", "2027-01-01T00:00:00+08:00")


def test_opening_and_changes_come_to_the_closing_and_what_came_late_is_told_as_such() -> None:
    said = verify(document().encode(), PEM)
    assert said["opening"] == {"available": 20, "pending": 0, "held": 0, "debt": 5}
    assert said["closing"] == {"available": 120, "pending": 0, "held": 0, "debt": 35}
    assert [entry["correction"] for entry in said["entries"]] == [False, False, True]
    assert said["chain"] == {"entries": 6, "head": "0102"}


def test_the_same_statement_is_the_same_to_the_byte() -> None:
    assert document() == document()


def _spoilt(change: Any) -> bytes:
    spoilt = json.loads(document())
    change(spoilt)
    return json.dumps(spoilt).encode()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (_spoilt(lambda one: one["statement"]["closing"].update(available=900)), "changed after it was signed"),
        (_spoilt(lambda one: one["statement"]["entries"].pop()), "changed after it was signed"),
        (_spoilt(lambda one: one.update(signature=RECEIPT)), "it is signed, and no roost-statement"),
        (_spoilt(lambda one: one.update(signature="a.b.c")), "Invalid"),
        (_spoilt(lambda one: one.pop("signature")), "it is no statement"),
        (b"[]", "it is no statement"),
        (b"\xff", "it is no statement"),
    ],
)
def test_what_is_not_as_it_was_signed_is_refused(tmp_path: Path, given: bytes, said: str) -> None:
    with pytest.raises(InvalidStatement, match=said):
        verify(given, PEM)
    file, key = tmp_path / "statement.json", tmp_path / "key.pem"
    file.write_bytes(given)
    key.write_text(PEM)
    told = CliRunner().invoke(app, ["statement", "verify", str(file), "--key", str(key)])
    assert (told.exit_code, "no valid statement" in told.output) == (1, True)


def test_a_statement_whose_sums_are_wrong_is_refused_whoever_signed_it() -> None:
    said = verify(document().encode(), PEM)
    wrong = {**said, "closing": {**said["closing"], "pending": 1}}
    with pytest.raises(InvalidStatement, match="pending points don't add up"):
        verify(signed(wrong, 1, SEED).encode(), PEM)
    assert digest(wrong) != digest(said)


def test_the_command_line_checks_one_offline_and_another_key_s_it_refuses(tmp_path: Path) -> None:
    file, key = tmp_path / "statement.json", tmp_path / "key.pem"
    file.write_text(json.dumps(json.loads(document()), indent=1))
    key.write_text(PEM)
    told = CliRunner().invoke(app, ["statement", "verify", str(file), "--key", str(key)])
    assert told.exit_code == 0, told.output
    assert json.loads(told.output)["closing"]["available"] == 120
    key.write_text(public_key(SEED[::-1]))
    assert CliRunner().invoke(app, ["statement", "verify", str(file), "--key", str(key)]).exit_code == 1
