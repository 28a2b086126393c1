"""One row by its id, and a row as a model of the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from cernvmapi.errors import NotFound

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from cernvmcontroller.store.tables import Table

R = TypeVar("R", bound="Table")
M = TypeVar("M", bound=msgspec.Struct)


async def one(session: AsyncSession, kind: type[R], id_: str, word: str) -> R:
    """Return the row with this id.

    Raises
    ------
    NotFound
        There is none; `word` is what people call it.
    """
    row = await session.get(kind, id_) if "\0" not in id_ else None
    if row is None:
        raise NotFound(f"There is no {word} {id_!r}.")
    return row


def attached(session: AsyncSession, row: Table) -> None:
    """Refuse a row of an earlier transaction: what is changed in it would be lost without a word.

    Raises
    ------
    RuntimeError
        It is not of this one.
    """
    if row not in session:
        raise RuntimeError(
            f"{row!r} is not of this transaction: look it up again in the block that changes it"
        )


def model(row: Table, kind: type[M], **other: Any) -> M:
    """Return the model whose fields are the row's attributes of the same names, and `other`."""
    return kind(**{name: getattr(row, name) for name in kind.__struct_fields__ if name not in other}, **other)
