"""Rows of fixed-width columns as numpy arrays, by PostgreSQL's binary COPY: no Python object a value."""

from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.db import Tx

_HEADER, _TRAILER = 19, 2
_BYTES = {"int4": 4, "int8": 8}


async def vectors(tx: Tx, query: str, *args: Any, columns: dict[str, str]) -> dict[str, NDArray[np.int64]]:
    """The columns of a query as (n,) integers; `columns` names them with their types, int4 or int8, in order.

    The query's parameters are $1, … No column may be null.
    """
    output = BytesIO()
    await tx.copy_from_query(query, *args, output=output, format="binary")
    # A tuple is the number of its fields, then each one's length and bytes, big-endian.
    fields = [("fields", ">i2")]
    for name, type_ in columns.items():
        fields += [(f"{name} length", ">i4"), (name, f">i{_BYTES[type_]}")]
    tuple_ = np.dtype(fields)
    content = output.getbuffer()
    rows = np.frombuffer(content, tuple_, (len(content) - _HEADER - _TRAILER) // tuple_.itemsize, _HEADER)
    return {name: rows[name].astype(np.int64) for name in columns}
