"""What of a file has a source and a time of its own: each attribute, the addresses of each kind, other fields whole."""

from collections.abc import Mapping
from typing import Any

from services.profile.customers.contact_points import KINDS, ContactPoint
from services.profile.customers.domain import MAPS, CustomerFile


def _by_kind(point: ContactPoint) -> int:
    return KINDS.index(point.kind)


def parts_of(file: CustomerFile, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields by part: ``attributes.shoe``, ``contact_points.email``, ``name``.

    A whole map or list speaks of what it leaves out, too: of those parts it says None, or no addresses. A field that
    is a part already stays as it is.
    """
    found: dict[str, Any] = {}
    for name, value in fields.items():
        if name == "contact_points":
            found |= {f"{name}.{kind}": tuple(point for point in value if point.kind == kind) for kind in KINDS}
        elif name in MAPS:
            found |= {f"{name}.{key}": value.get(key) for key in sorted({*getattr(file, name), *value})}
        else:
            found[name] = value
    return found


def whole(file: CustomerFile, parts: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that these parts belong to, as they are once the parts are put into the file."""
    fields: dict[str, Any] = {}
    for name, value in parts.items():
        field, _, part = name.partition(".")
        standing = fields.get(field, getattr(file, field))
        if field == "contact_points":
            others = (point for point in standing if point.kind != part)
            fields[field] = tuple(sorted((*others, *value), key=_by_kind))
        elif field in MAPS:
            named = {**standing, part: value}
            fields[field] = {key: held for key, held in named.items() if held is not None}
        else:
            fields[field] = value
    return fields
