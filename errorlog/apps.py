"""The error log's Django app."""

from django.apps import AppConfig


class ErrorLogConfig(AppConfig):
    name = "errorlog"
    verbose_name = "Errors"

    def ready(self) -> None:
        from errorlog import capture

        capture.install()
