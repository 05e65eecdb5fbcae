"""The clients' tests use the gateway of the fault matrix."""

from tests.faults.conftest import gateway, upstream  # noqa: F401
