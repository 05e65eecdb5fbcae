"""From a model's name to the upstreams and credentials to try, out of a snapshot that a thread keeps fresh.

Invariant: nothing that the request path calls here (`current`, `candidates`, `cool`) waits, locks or asks the database.
The refresher's thread has a database connection of its own; while the database is away the last snapshot stays in use.
Cooling is kept in memory, for this process alone; the refresher shows it on the credential's row.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from django.db import DatabaseError, InterfaceError, close_old_connections, connection

from relay import bell, models, quotas, stopping, vault, watching
from relay.balancing import Candidate, ranked
from relay.ending import Cause
from relay.snapshot import (
    NO_CREDENTIAL,
    ClientKeySpec,
    CredentialSpec,
    RouteSpec,
    Snapshot,
    UpstreamSpec,
)

__all__ = [
    "NO_CREDENTIAL",
    "Candidate",
    "ClientKeySpec",
    "CredentialSpec",
    "RouteSpec",
    "Snapshot",
    "UpstreamSpec",
    "candidates",
    "cool",
    "cool_after",
    "cooling_seconds",
    "credential_spec",
    "current",
    "load_now",
    "start_refresher",
    "stop_refresher",
    "upstream_spec",
]

POLL_SECONDS = 0.5
LONGEST_COOLING = 60.0
CONNECT_COOLING = 5.0
REFUSED_COOLING = 60.0
CONNECT_CAUSES = frozenset({Cause.CONNECT_REFUSED, Cause.CONNECT_TIMEOUT, Cause.UNREACHABLE, Cause.DNS, Cause.TLS, Cause.PROXY})
REFUSED_CAUSES = frozenset({Cause.AUTH_REJECTED, Cause.QUOTA_EXHAUSTED})  # neither is cured by trying again soon

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Cooling:
    """Until when something is sorted last, and why. `until` is by the caller's clock; what is shown, by the wall's."""

    until: float
    reason: str
    shown_since: float
    shown_until: float


_snapshot = Snapshot()
_cooling: dict[tuple[str, int], Cooling] = {}
_to_show: dict[int, Cooling] = {}  # by credential; what the refresher has yet to write


def current() -> Snapshot:
    """The configuration as this process knows it."""
    return _snapshot


def candidates(route: RouteSpec, protocol: str, now: float, affinity: str = "") -> list[Candidate]:
    """What to try for a client of `protocol`, in order: same protocol first, then by the route's strategy, cooling ones last.

    `affinity` names the conversation, for a sticky route. Empty when an operator switched off everything on the route.
    """
    weights = route.weights or (1,) * len(route.upstreams)
    found = [
        Candidate(upstream, credential, _cools(upstream, credential, now), weight)
        for upstream, weight in zip(route.upstreams, weights, strict=True)
        for credential in upstream.credentials
    ]
    found = ranked(route, found, affinity)
    return sorted(found, key=lambda item: (item.cooling, item.upstream.protocol != protocol))  # stable


def cool(credential_id: int | None, seconds: float, reason: str, now: float, *, upstream_id: int | None = None) -> None:
    """Sort a credential last until `now + seconds`, at most a minute; with `upstream_id` all of that upstream's.

    A longer cooling that runs already stays. `reason` is shown on the credential: a few words without secrets. `now`
    may be any clock, the event loop's for one, as long as `candidates` is given the same.
    """
    seconds = min(seconds, LONGEST_COOLING)
    if seconds <= 0:
        return
    wall = time.time()
    cooling = Cooling(now + seconds, reason, wall, wall + seconds)
    for key in (("credential", credential_id), ("upstream", upstream_id)):
        if key[1] is not None:
            _keep_longer((key[0], key[1]), cooling)
    if credential_id is not None:
        _to_show[credential_id] = cooling


def cool_after(candidate: Candidate, cause: Cause, reason: str, now: float, retry_after: float | None = None) -> None:
    """Cool what an attempt used as its failure asks for: one credential, or the upstream that could not be reached."""
    if candidate.credential.secret:
        reason = reason.replace(candidate.credential.secret, "…")
    cool(
        candidate.credential.id,
        cooling_seconds(cause, retry_after),
        f"{cause}: {reason}" if reason else cause.value,
        now,
        upstream_id=candidate.upstream.id if cause in CONNECT_CAUSES or candidate.credential.id is None else None,
    )


def cooling_seconds(cause: Cause, retry_after: float | None = None) -> float:
    """How long a failed attempt cools what it used; 0 = not at all. Retry-After speaks for itself, up to a minute."""
    if retry_after is not None and retry_after > 0:
        return min(retry_after, LONGEST_COOLING)
    if cause in CONNECT_CAUSES:
        return CONNECT_COOLING
    return REFUSED_COOLING if cause in REFUSED_CAUSES else 0.0


def _keep_longer(key: tuple[str, int], cooling: Cooling) -> None:
    running = _cooling.get(key)
    if running is None or running.until < cooling.until:
        _cooling[key] = cooling


def _cools(upstream: UpstreamSpec, credential: CredentialSpec, now: float) -> bool:
    if not _cooling:
        return False
    keys = [("upstream", upstream.id)]
    if credential.id is not None:
        keys.append(("credential", credential.id))
    return any(key in _cooling and now < _cooling[key].until for key in keys)


# ---- from rows to a snapshot -------------------------------------------------------------------------------------


def load_now() -> Snapshot:
    """Read the configuration, make it the current one, and return it.

    Raises:
        DatabaseError: the database is away; the snapshot stays as it was.
    """
    global _snapshot
    snapshot = _read()
    _snapshot = snapshot
    return snapshot


def _read() -> Snapshot:
    """Rows of one version: read again when it moved meanwhile. After the last try, the poll finds what was missed."""
    for _ in range(3):
        version = models.ConfigVersion.present()
        upstreams = _upstreams()
        snapshot = Snapshot(version, _routes(upstreams), tuple(upstreams.values()), _keys(), models.ConfigVersion.captures())
        if models.ConfigVersion.present() == version:
            break
    return snapshot


def _upstreams() -> dict[int, UpstreamSpec]:
    rows = models.Upstream.objects.filter(enabled=True).prefetch_related("credentials")
    return {row.pk: upstream_spec(row) for row in rows}


def upstream_spec(row: models.Upstream) -> UpstreamSpec:
    """The row as the request path knows it."""
    credentials = list(row.credentials.all())
    return UpstreamSpec(
        id=row.pk,
        name=row.name,
        protocol=row.protocol,
        base_url=row.base_url.rstrip("/"),
        connect_timeout=row.connect_timeout,
        first_byte_timeout=row.first_byte_timeout,
        idle_timeout=row.idle_timeout,
        stalled_timeout=row.stalled_timeout,
        total_timeout=row.total_timeout,
        write_timeout=row.write_timeout,
        commit_after=row.commit_after,
        proxy=row.proxy or None,
        ca_bundle=row.ca_bundle or None,
        ask_for_usage=row.ask_for_usage,
        # An upstream that never had a credential asks for none; one whose credentials are all off has nothing to try.
        credentials=tuple(filter(None, map(_credential, credentials))) if credentials else (NO_CREDENTIAL,),
    )


def _credential(row: models.Credential) -> CredentialSpec | None:
    if not row.enabled:
        return None
    try:
        return credential_spec(row)
    except vault.UnreadableSecret as error:
        logger.error("Credential %s is left out: its secret was %s. Set it again.", row, error)
        return None


def credential_spec(row: models.Credential) -> CredentialSpec:
    """The row as the request path knows it.

    Raises:
        vault.UnreadableSecret: the secret was sealed under another SECRET_KEY.
    """
    return CredentialSpec(row.pk, row.label, row.reveal(), row.max_concurrency, row.proxy or None)


def _routes(upstreams: dict[int, UpstreamSpec]) -> tuple[RouteSpec, ...]:
    return tuple(_route(row, upstreams) for row in models.Route.objects.prefetch_related("steps"))


def _route(row: models.Route, upstreams: dict[int, UpstreamSpec]) -> RouteSpec:
    steps = [step for step in row.steps.all() if step.upstream_id in upstreams]
    return RouteSpec(
        id=row.pk,
        model=row.model,
        upstreams=tuple(upstreams[step.upstream_id] for step in steps),
        upstream_model=row.upstream_model or None,
        max_attempts=row.max_attempts,
        strategy=row.strategy,
        weights=tuple(step.weight for step in steps),
        defaults=row.defaults,
        overrides=row.overrides,
    )


def _keys() -> dict[bytes, ClientKeySpec]:
    keys: dict[bytes, ClientKeySpec] = {}
    for row in models.ClientKey.objects.all():
        end = row.expires_at.timestamp() if row.expires_at else None
        spec = ClientKeySpec(row.pk, row.label, row.allowed_globs, end, row.enabled, row.max_concurrency, row.tokens_per_day)
        if row.previous_digest and row.previous_expires_at:
            previous_end = row.previous_expires_at.timestamp()
            previous_end = previous_end if end is None else min(previous_end, end)
            keys[bytes.fromhex(row.previous_digest)] = replace(spec, expires_at=previous_end)
        keys[bytes.fromhex(row.digest)] = spec
    return keys


# ---- the thread that keeps it fresh ------------------------------------------------------------------------------


class Refresher(threading.Thread):
    """Looks for a new version twice a second, or when the bell rings, and writes down what cools. Nothing ends it."""

    def __init__(self) -> None:
        super().__init__(name="configuration-refresher", daemon=True)
        self.stopping = threading.Event()
        self.looked = threading.Event()  # set once the first look is over, good or bad
        self._away = False

    def run(self) -> None:
        listener = bell.Listener(self.stopping)
        try:
            while not self.stopping.is_set():
                self._look()
                self.looked.set()
                listener.wait(POLL_SECONDS)
        finally:
            listener.close()
            connection.close()

    def _look(self) -> None:
        try:
            close_old_connections()
            version, watched_until = models.ConfigVersion.seen()
            watching.told(watched_until)
            if version != _snapshot.version:
                snapshot = load_now()
                logger.info("Configuration version %d is in use.", snapshot.version)
                stopping.obey(snapshot)
            quotas.learn(_snapshot)
            _show_cooling()
        except (DatabaseError, InterfaceError) as error:
            if not self._away:
                logger.warning("The configuration cannot be read (%s); the last one stays in use.", type(error).__name__)
            self._away = True
            connection.close()
        except Exception:
            logger.exception("The configuration could not be refreshed; the last one stays in use.")
            connection.close()
        else:
            if self._away:
                logger.warning("The configuration can be read again.")
            self._away = False


_refresher: Refresher | None = None


def start_refresher(wait: float = 10.0) -> None:
    """Start the thread, once for each process and after any fork, and wait for its first look at the database."""
    global _refresher
    if _refresher is None or not _refresher.is_alive():
        _refresher = Refresher()
        _refresher.start()
    _refresher.looked.wait(wait)


def stop_refresher() -> None:
    """Stop the thread and wait for it."""
    global _refresher
    refresher, _refresher = _refresher, None
    if refresher is not None:
        refresher.stopping.set()
        refresher.join(timeout=5)


def _show_cooling() -> None:
    """Write what credentials suffered since the last look, once for each, and forget coolings that are over."""
    while _to_show:
        pk, cooling = _to_show.popitem()
        models.Credential.objects.note_failure(pk, cooling.reason, _moment(cooling.shown_since), _moment(cooling.shown_until))
    now = time.time()
    for key in [key for key, cooling in list(_cooling.items()) if cooling.shown_until < now]:
        _cooling.pop(key, None)


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
