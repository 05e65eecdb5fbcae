"""Who looks at the pages."""

from __future__ import annotations

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

BACKEND = "django.contrib.auth.backends.ModelBackend"


@pytest.fixture
def admin(db: None) -> Client:
    """An administrator, signed in."""
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("root"), BACKEND)
    return client
