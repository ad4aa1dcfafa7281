"""The rooms of a service as an import contract: who may call whom inside ``services.<name>``."""

from collections.abc import Iterable

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, output

_ABOVE_MODULES = {"main": 0, "consumers": 1, "jobs": 1}
_ROOMS = {"http": 2, "application": 3, "store": 4, "domain": 5}
_PRIVATE = ("http", "store")


def misplaced(imports: Iterable[tuple[str, str]]) -> list[str]:
    """The imports (importer, imported) that climb the rooms or enter another module's private ones, with why.

    ``main > consumers | jobs > http > application > store > domain``; another module's store and http are
    closed, except to what wires or migrates the service. Other names (settings, migrations) have no rank.
    """
    found = ((above, below, _fault(above.split("."), below.split("."))) for above, below in imports)
    return sorted(f"{above} -> {below}: {fault}" for above, below, fault in found if fault)


class RoomsContract(Contract):
    """Import-linter's view of ``misplaced``."""

    type_name = "rooms"

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        imports = [
            (importer, imported)
            for importer in graph.modules
            if importer.startswith("services.")
            for imported in graph.find_modules_directly_imported_by(importer)
        ]
        broken = misplaced(imports)
        return ContractCheck(kept=not broken, metadata={"broken": broken})

    def render_broken_contract(self, check: ContractCheck) -> None:
        for line in check.metadata["broken"]:
            output.print_error(line)


def _fault(importer: list[str], imported: list[str]) -> str:
    if importer[0] != "services" or importer[:2] != imported[:2]:
        return ""
    above, below = _rank(importer), _rank(imported)
    if above is not None and below is not None and above > below:
        return "a lower room calls a higher one"
    if importer[2:3] != imported[2:3] and {importer[2], imported[2]} == {"consumers", "jobs"}:
        return "consumers and jobs stand side by side"
    elsewhere = len(importer) > 3 and len(imported) > 3 and importer[2] != imported[2]
    if elsewhere and imported[3] in _PRIVATE and importer[2] != "migrations":
        return f"another module's {imported[3]} is private: call its application or domain"
    return ""


def _rank(module: list[str]) -> int | None:
    if len(module) < 3:
        return None
    if module[2] in _ABOVE_MODULES:
        return _ABOVE_MODULES[module[2]]
    return _ROOMS.get(module[3]) if len(module) > 3 else None
