"""What a request asks to be played: `<scenario>[,key=value]*`, read from its model.

Reading never fails: a model that names no scenario plays `ok`, so that an ordinary model name gets an ordinary answer.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

PLAIN = "ok"
DEMO_PREFIX = "demo/"


@dataclass(frozen=True, slots=True)
class Script:
    """A scenario's name and its parameters, as text; the readers fall back when one is absent or no number."""

    scenario: str = PLAIN
    parameters: dict[str, str] = field(default_factory=dict)

    def text(self, key: str, default: str = "") -> str:
        return self.parameters.get(key, default)

    def number(self, key: str, default: float) -> float:
        try:
            return float(self.parameters[key])
        except (KeyError, ValueError):
            return default

    def count(self, key: str, default: int) -> int:
        return int(self.number(key, default))

    def flag(self, key: str) -> bool:
        return self.parameters.get(key, "0") not in ("0", "", "no", "false")


def read_script(model: str, scenarios: Collection[str]) -> Script:
    """The script that `model` names; parameters of a model that is no scenario are not believed."""
    name, *settings = model.removeprefix(DEMO_PREFIX).split(",")
    if name not in scenarios:
        return Script()
    pairs = (setting.partition("=") for setting in settings)
    return Script(name, {key.strip(): value.strip() or "1" for key, _, value in pairs})
