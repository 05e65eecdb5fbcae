"""The mistakes of a file: gathered while it is read or applied, and told in one go, each on a line of its own.

Whoever finds one notes it and goes on, with whatever stands in for the value: a configuration with a mistake is never
returned nor applied. A field is told its first mistake alone, since the others follow from it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from proxy_project.environment import SettingError

SHOWN = 20  # lines; whoever has more has made one mistake often


class ConfigError(SettingError):
    """The file's mistakes, one a line: each names file, table and field, and what was expected."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where we are in the file, and what was found to be wrong so far in any place of it."""

    file: str
    table: str = ""
    mistakes: list[str] = field(default_factory=list)

    def note(self, name: str, problem: str) -> None:
        """A field of this table is wrong."""
        self.mistakes.append(f"{self.file}: {self.table}, field {name}: {problem}.")

    def note_file(self, problem: str) -> None:
        """What is wrong is outside of any table."""
        self.mistakes.append(f"{self.file}: {problem}.")

    def inside(self, table: str, number: int, title: object) -> Place:
        known = f" ({title})" if isinstance(title, str) and title.isprintable() else ""
        prefix = f"{self.table} " if self.table else ""
        return Place(self.file, f"{prefix}[[{table}]] number {number}{known}", self.mistakes)

    def refuse(self) -> None:
        """Raises when anything was noted.

        Raises:
            ConfigError: all of it, in the order in which it was found; at most `SHOWN` lines, and how many more there are.
        """
        if not self.mistakes:
            return
        more = len(self.mistakes) - SHOWN
        rest = [f"{self.file}: {more} more like these are not shown."] if more > 0 else []
        raise ConfigError("\n".join(self.mistakes[:SHOWN] + rest))
