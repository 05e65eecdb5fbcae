"""What tests of several rooms share: records as the journal carries them, an administrator, a gateway that lives on."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User

from relay.rehearsal.server import FaultServer
from tests.gateways import Gateway, usual

# Else each test client, having a middleware of its own, would look at every static file once more.
settings.WHITENOISE_AUTOREFRESH = True

Record = Callable[..., dict[str, Any]]


@pytest.fixture
def event() -> Record:
    """An error event of a stream that died, with what is asked for changed."""

    def build(**fields: Any) -> dict[str, Any]:
        base = {
            "id": str(uuid.uuid4()),
            "time": time.time(),
            "name": "StreamUpstreamPrematureClose",
            "message": "Upstream stream closed before terminal event: eof",
            "source": "server",
            "context": {"fault": "upstream"},
            "request_id": "req_1",
            "fingerprint": ["StreamUpstreamPrematureClose", "eof", "openai", "200", "after first byte"],
        }
        return base | fields

    return build


@pytest.fixture
def entry() -> Record:
    """A completed audit entry, with what is asked for changed."""

    def build(**fields: Any) -> dict[str, Any]:
        base = {"id": str(uuid.uuid4()), "time": time.time(), "request_id": f"req_{uuid.uuid4().hex}", "outcome": "completed"}
        return base | fields

    return build


@pytest.fixture
def admin_user(db: None) -> User:
    """An administrator whom no password lets in: to hash one takes longer than most tests."""
    return User.objects.create_superuser("admin")


@pytest.fixture(scope="session")
def upstream() -> Iterator[FaultServer]:
    """The scripted upstream."""
    with FaultServer().run_in_thread() as server:
        yield server


@pytest.fixture(scope="session")
def gateway(upstream: FaultServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with the scripted upstream behind it in every protocol, for tests that leave it as it is."""
    running = Gateway(tmp_path_factory.mktemp("gateway"), usual(upstream.url))
    yield running
    running.end()


@pytest.fixture(autouse=True)
def _what_may_be_recorded_is_read_anew() -> None:
    """A process may rely on the recording state for a second; a test must not inherit the one before it."""
    from auditlog import recording

    recording.forget()
