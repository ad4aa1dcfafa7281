"""``./roost erasure verify`` says what is wrong with what it was given, and what to do."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from deploy.cli import app
from services.profile.erasures.receipts import public_key, sign

SEED = bytes(range(32))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (b'{"missing": ["profile", "churn"], "receipt": null}', "profile, churn must answer first"),
        (b'{"missing": [', "it begins as JSON, and is none"),
        (b"\xff\xfe", "no valid receipt"),
        (b"", "no valid receipt"),
    ],
)
def test_what_is_no_receipt_is_told_in_a_line(tmp_path: Path, given: bytes, said: str) -> None:
    file, key = tmp_path / "receipt.json", tmp_path / "key.pem"
    file.write_bytes(given)
    key.write_text(public_key(SEED))
    told = CliRunner().invoke(app, ["erasure", "verify", str(file), "--key", str(key)])
    assert told.exit_code == 1
    assert said in told.output


def test_what_is_no_key_checks_nothing(tmp_path: Path) -> None:
    file, key = tmp_path / "receipt.json", tmp_path / "key.pem"
    file.write_text(sign({"iss": "/roost/profile", "sub": "e_1", "iat": 1}, SEED))
    key.write_text("no key")
    assert CliRunner().invoke(app, ["erasure", "verify", str(file), "--key", str(key)]).exit_code == 1
    assert CliRunner().invoke(app, ["erasure", "verify", str(file), "--key", str(tmp_path / "none")]).exit_code == 2
