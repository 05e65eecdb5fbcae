"""A pytest plugin: `--part NAME` takes one of the parts that tests/run runs beside each other, and imports its files alone.

`browser` and `clients` are the folders of those names: Playwright keeps an event loop running in the main thread, and the
official SDKs take seconds to import. `main` is all the rest, and `database` what of it is marked so, for another database.
"""

from __future__ import annotations

from pathlib import Path

import pytest

TESTS = Path(__file__).parent
APART = ("browser", "clients")
NAMES = ("main", "database", *APART)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--part", choices=NAMES, help="only this part of the suite (tests/parts.py)")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    return True if _elsewhere(collection_path, config.option.part) else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What was named on the command line is collected whatever part it is of; it runs in its own alone."""
    part = config.option.part
    wanted = [item for item in items if not _elsewhere(item.path, part) and (part != "database" or item.get_closest_marker(part))]
    kept = set(wanted)
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = wanted


def _elsewhere(path: Path, part: str | None) -> bool:
    """Whether nothing of `path`, a file or folder, belongs to the part."""
    if not part or TESTS not in path.parents:
        return False
    folder = path.relative_to(TESTS).parts[0]
    if (folder if folder in APART else "main") != (part if part in APART else "main"):
        return True
    return part == "database" and path.match("test_*.py") and "mark.database" not in path.read_text()
