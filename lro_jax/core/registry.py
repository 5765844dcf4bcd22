"""Things that a config names: those that are here, and those a user adds."""

from collections.abc import Iterator
from typing import Generic, TypeVar

from lro_jax.core.schema import UserError, nearest, shown

T = TypeVar("T")


class Registry(Generic[T]):
  """Entries by name, in the order in which they came.

  A file of one's own adds an entry and then runs `main`: see EXTENDING.md.
  No entry is ever replaced.
  """

  def __init__(self, field: str, entries: dict[str, T], *, besides: str = ""):
    """Begins with what is here.

    Args:
      field: the config's field that names an entry.
      entries: by name.
      besides: what else that field may hold, in words, for messages.
    """
    self.field = field
    self._entries = dict(entries)
    self._besides = f", or {besides}" if besides else ""

  def __iter__(self) -> Iterator[str]:
    """The names."""
    return iter(self._entries)

  def entries(self) -> list[T]:
    """The entries."""
    return list(self._entries.values())

  def add(self, name: str, entry: T) -> None:
    """Adds an entry.

    Raises:
      UserError: the name is taken: no run should change its meaning.
    """
    if name in self._entries:
      raise UserError(
        f"{self.field} {shown(name)} is there already: choose a name other than"
        f" {', '.join(self)}."
      )
    self._entries[name] = entry

  def find(self, name: str) -> T:
    """The entry of that name.

    Raises:
      UserError: there is none.
    """
    if name not in self._entries:
      raise UserError(
        f"Field {self.field!r} is {shown(name)}{nearest(name, self)}: it must"
        f" be one of {', '.join(map(repr, self))}{self._besides}."
      )
    return self._entries[name]
