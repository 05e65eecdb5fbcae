"""What the frame of every admin page says about this installation."""

from django.conf import settings
from django.http import HttpRequest


def context(request: HttpRequest) -> dict[str, str]:
    """Template context: the environment's label (`ENVIRONMENT`), and our version."""
    return {"epitaph_environment": settings.ENVIRONMENT, "epitaph_version": settings.VERSION}
