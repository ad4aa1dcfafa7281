"""A file goes in from the command line, through the gateway, and every row is accounted for."""

import asyncio
from pathlib import Path

import httpx
import pytest

from deploy.importing import import_file
from deploy.remote import at

CUSTOMER = "e2e:import"


async def test_a_file_is_imported_and_its_faults_are_printed_row_by_row(
    http: httpx.AsyncClient, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "members.csv"
    file.write_text(f"customer_id,name,email\n{CUSTOMER}-1,Example,one@example.com\n{CUSTOMER}-2,Two,nowhere\n")
    system = at(str(http.base_url), http.headers["Authorization"].removeprefix("Bearer "))

    async def sent(*, dry_run: bool) -> bool:
        return await asyncio.to_thread(import_file, system, file, dry_run=dry_run, charset="utf-8", as_of=None)

    with system.client:
        assert await sent(dry_run=True) is False
        assert "row 2 /email: invalid-contact-point" in capsys.readouterr().out
        assert (await http.get(f"/profile/customers/{CUSTOMER}-1")).status_code == 404
        file.write_text(file.read_text().replace("nowhere", "two@example.com"))
        assert await sent(dry_run=False) is True
        assert "2 created, 0 changed, 0 unchanged, 0 failed" in capsys.readouterr().out
        assert (await http.get(f"/profile/customers/{CUSTOMER}-2")).json()["email"] == "two@example.com"
