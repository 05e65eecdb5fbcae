"""Who looks at the pages: clients that are signed in without a password, since to hash one takes longer than most tests."""

from __future__ import annotations

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client

BACKEND = "django.contrib.auth.backends.ModelBackend"


def staff(*permissions: str) -> Client:
    """Somebody of the staff who may do this and no more."""
    user = get_user_model().objects.create_user("-".join(("staff", *permissions)), is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user, BACKEND)
    return client
