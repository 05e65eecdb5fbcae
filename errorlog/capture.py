"""Catches what nobody caught: exceptions of the process, of threads, tasks and requests, and records logged at ERROR.

Importable before Django is set up, since LOGGING names the handler. Nothing here raises and nothing here recurses: a
report that fails is dropped, and what reporting itself logs is not reported.
"""

import logging
from contextvars import ContextVar

inside_exchange: ContextVar[bool] = ContextVar("inside_exchange", default=False)


class ErrorLogHandler(logging.Handler):
    """Reports records logged at ERROR; silent for what another path already reports."""

    def emit(self, record: logging.LogRecord) -> None:
        return
