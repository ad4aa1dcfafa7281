"""What an import keeps of its file is sealed under a key of its own, which goes when that is forgotten."""

from services.profile.imports import store
from services.profile.imports.domain import OPEN, Import
from services.profile.vault.application import Vault
from services.profile.vault.domain import Sealer, Unreadable, WrappedKey, WrongMasterKey
from shared.db import Tx


def new_key(vault: Vault, import_id: str) -> tuple[WrappedKey, Sealer]:
    """A key for an import that begins."""
    return vault.keyring.new(_owner(import_id))


async def sealer_of(tx: Tx, vault: Vault, job: Import) -> Sealer | None:
    """What opens its words; None once they are forgotten. Raises WrongMasterKey for one that is still at work."""
    key = await store.key(tx, job.import_id)
    try:
        return vault.keyring.sealer(_owner(job.import_id), key) if key else None
    except (WrongMasterKey, Unreadable):
        if job.state in OPEN:
            raise
        return None


def of_chunk(number: int) -> str:
    """The field that a chunk is bound to."""
    return f"chunk/{number}"


def of_fault(row: int) -> str:
    """The field that the record of a faulty row is bound to."""
    return f"fault/{row}"


DIFFERENCE = "difference"
"""The field that differences are bound to."""


def _owner(import_id: str) -> str:
    return f"import:{import_id}"
