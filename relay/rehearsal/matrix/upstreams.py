"""The upstreams of the matrix: one group for each way to be patient or unreachable, one upstream a protocol in each.

A request chooses its group by its model: `<script>,on=<group>` (the rehearsal ignores the parameter).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from relay.rehearsal.matrix.protocols import COLUMNS, Column


@dataclass(frozen=True, slots=True)
class Group:
    """Upstreams with the same settings. `base` is their address; `{url}` in it is the scripted upstream's."""

    name: str
    settings: str = ""
    base: str = "{url}/v1"
    credentials: int = 1
    only: str = ""  # the one protocol of whose upstreams there is any; empty: all
    behind: str = ""  # the address of an upstream that is tried before, with one credential


LIMITED_KEY = "test-client-key-limited"
PATIENT = "first_byte_timeout = 30\nidle_timeout = 30\nwrite_timeout = 30"
GROUPS = (
    Group("hasty", "first_byte_timeout = 2.5\nidle_timeout = 2.5"),
    Group("lagging", "idle_timeout = 2"),
    Group("stalls", "idle_timeout = 30\nstalled_timeout = 1.5"),
    Group("total", "total_timeout = 4"),
    Group("narrow", "write_timeout = 2"),
    Group("early-fresh", "commit_after = 1", base="http://localhost:{port}/v1"),  # a pool of its own
    Group("early", "commit_after = 1\nfirst_byte_timeout = 4"),
    Group("sockets", PATIENT, base="ws://127.0.0.1:{port}/v1", only="responses"),
    Group("off", "enabled = false"),
    Group("closed", base="http://127.0.0.1:{closed}/v1"),
    Group("ignores", "connect_timeout = 2", base="http://127.0.0.1:{full}/v1"),
    Group("nowhere", base="http://nowhere.invalid/v1"),
    Group("no-route", base="http://[100::1]:9/v1"),
    Group("no-tls", base="https://127.0.0.1:{tls}/v1"),
    Group("no-proxy", 'proxy = "http://127.0.0.1:{closed}"'),
    Group("plain", PATIENT),
)


def own_group(name: str, credentials: int, like: str = "plain", behind: str = "", only: str = "") -> Group:
    """A group for one case alone, so that what cools in it disturbs nobody; its settings are those of the group `like`."""
    settings = next(group.settings for group in GROUPS if group.name == like)
    return Group(name, settings, credentials=credentials, behind=behind, only=only)


def address(base: str, column: Column, places: Mapping[str, str]) -> str:
    """The address of an upstream of this protocol; its version takes the place of `/v1`."""
    filled = base.format_map(places)
    return filled.removesuffix("/v1") + column.version if filled.endswith("/v1") else filled


def secret(group: str, tag: str, number: int) -> str:
    """A credential's secret; its last letters, which `for_key=` of a script names, are `-a`, `-b` …"""
    return f"upstream-secret-{group}-{tag}-{'abcd'[number]}"


def config_of(groups: tuple[Group, ...], places: Mapping[str, str]) -> str:
    """The gateway's configuration; `places` are what addresses are filled with: `url`, `tls`, `closed`, `full` …"""
    parts: list[str] = []
    for group in groups:
        names = []
        for tag, column in COLUMNS.items():
            if group.only in ("", tag):
                names += _upstreams(group, column, places, parts)
        parts.append(_route(f"*,on={group.name}", names))
        # The credentials of the client's own protocol, which come first; the others would be asked in translation.
        parts.append(f"max_attempts = {min(3, group.credentials + bool(group.behind))}")
        if not group.only:
            parts += [_route(f"*,on={group.name},via={tag}", [f"{group.name}-{tag}"]) for tag in COLUMNS]
    parts.append(f'[[client_key]]\nlabel = "limited"\nkey = "{LIMITED_KEY}"\nallowed_models = ["gpt-*"]')
    return "\n".join(parts) + "\n"


def _route(model: str, upstreams: list[str]) -> str:
    listed = ", ".join(f'"{name}"' for name in upstreams)
    return f'[[route]]\nmodel = "{model}"\nupstreams = [{listed}]'


def _upstreams(group: Group, column: Column, places: Mapping[str, str], parts: list[str]) -> list[str]:
    """Writes a group's upstreams of one protocol into `parts`, and gives their names in the order in which they are tried."""
    names = []
    if group.behind:
        names.append(f"{group.name}-before-{column.tag}")
        parts.append(f'[[upstream]]\nname = "{names[0]}"\nprotocol = "{column.upstream}"\nconnect_timeout = 1')
        parts.append(f'base_url = "{address(group.behind, column, places)}"')
        parts.append(f'[[upstream.credential]]\nlabel = "{names[0]}-a"\nsecret = "{names[0]}-secret-a"')
    name = f"{group.name}-{column.tag}"
    parts.append(f'[[upstream]]\nname = "{name}"\nprotocol = "{column.upstream}"')
    parts.append(f'base_url = "{address(group.base, column, places)}"')
    parts.append(group.settings.replace("{closed}", places["closed"]))
    for number in range(group.credentials):
        parts.append(f'[[upstream.credential]]\nlabel = "{name}-{"abcd"[number]}"')
        parts.append(f'secret = "{secret(group.name, column.tag, number)}"')
    return [*names, name]
