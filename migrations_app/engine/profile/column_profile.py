"""What a profile says: plain data, made by profile.py, read by whatever makes plans and checks."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Candidate:
    """A conversion to try. every: count all cells that don't fit; otherwise the first one ends the trial."""

    conversion: str
    target_type: str
    every: bool = False


@dataclass(frozen=True)
class Fit:
    """How a candidate did: unfit 0 means that every cell fits. `why` never holds a value."""

    conversion: str
    target_type: str
    unfit: int = 0
    first_key: str = ""
    why: str = ""


@dataclass(frozen=True)
class ColumnProfile:
    """Counts of cells by storage class; `first` has the key of the first row with each oddity.

    Keys of `first`: 'integer', 'real', 'text', 'blob', 'invalid', 'nul', 'number_like'. number_like counts texts that
    spell a number exactly as a number of the file would be written ('1', '1.5'): as text they can't be told apart. In
    a column of text affinity, where SQLite keeps no numbers, every text counts.
    """

    name: str
    nulls: int
    integers: int
    reals: int
    texts: int
    blobs: int
    invalid: int
    nul: int
    number_like: int
    infinite: int
    lowest: int | None
    highest: int | None
    max_chars: int
    max_bytes: int
    first: dict[str, str]
    fits: tuple[Fit, ...]

    @property
    def kinds(self) -> tuple[str, ...]:
        """The storage classes that occur, NULL aside."""
        counts = {"integer": self.integers, "real": self.reals, "text": self.texts + self.invalid, "blob": self.blobs}
        return tuple(kind for kind, count in counts.items() if count)

    @property
    def numbers(self) -> int:
        return self.integers + self.reals

    def fit(self, name: str, target_type: str) -> Fit | None:
        return next((f for f in self.fits if f.conversion == name and f.target_type == target_type), None)


@dataclass(frozen=True)
class TableProfile:
    name: str
    rows: int
    columns: tuple[ColumnProfile, ...]

    def column(self, name: str) -> ColumnProfile:
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)


@dataclass(frozen=True)
class Profile:
    tables: tuple[TableProfile, ...]

    def table(self, name: str) -> TableProfile:
        for table in self.tables:
            if table.name == name:
                return table
        raise KeyError(name)
