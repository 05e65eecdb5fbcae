"""The error log's Django app."""

from django.apps import AppConfig


class ErrorLogConfig(AppConfig):
    name = "errorlog"
    verbose_name = "Errors"
