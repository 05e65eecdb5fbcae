"""Catches what nobody caught: exceptions of the process, of threads, tasks and requests, and records logged at ERROR.

Importable before Django is set up, since LOGGING names the handler. Nothing here raises and nothing here recurses: a
report that fails is dropped, and what reporting itself logs is not reported. Each hook calls the one before it.
"""

from __future__ import annotations

import asyncio
import logging
import platform
import sys
import threading
import time
import traceback
import uuid
from contextvars import ContextVar
from importlib import import_module
from types import TracebackType
from typing import Any

inside_exchange: ContextVar[bool] = ContextVar("inside_exchange", default=False)
_reporting = threading.local()
_installed = False
SILENT = ("django.request", "uvicorn", "epitaph.serve")  # another path reports these, or they are the server's own words


def report(error: BaseException | None, name: str = "", message: str = "", source: str = "main", **context: Any) -> None:
    """Writes one event through the configured writer. An exception is reported once, whoever sees it first."""
    if getattr(_reporting, "busy", False) or getattr(error, "_epitaph_reported", False):
        return
    _reporting.busy = True
    try:
        if error is not None:
            error._epitaph_reported = True  # type: ignore[attr-defined]
        from django.conf import settings

        event = {
            "id": str(uuid.uuid4()),
            "time": time.time(),
            "name": name or type(error).__name__,
            "message": message or str(error),
            "stack": "".join(traceback.format_exception(error)) if error is not None else "",
            "source": source,
            "version": settings.VERSION,
            "platform": platform.platform(),
            "context": context,
        }
        module, _, writer = settings.ERRORLOG["WRITER"].rpartition(".")
        getattr(import_module(module), writer)(event)
    except Exception:  # noqa: BLE001, S110 - reporting must not become a second failure
        pass
    finally:
        _reporting.busy = False


class ErrorLogHandler(logging.Handler):
    """Reports records logged at ERROR; silent for what another path already reports."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith(SILENT) or inside_exchange.get():
            return
        error = record.exc_info[1] if record.exc_info else None
        try:
            message = record.getMessage()
        except (TypeError, ValueError):
            message = str(record.msg)
        report(error, "" if error else "LoggedError", message, logger=record.name)


def install() -> None:
    """Hooks into the process, its threads and Django's requests; once."""
    global _installed
    if _installed:
        return
    _installed = True
    from django.core.signals import got_request_exception

    before, before_thread = sys.excepthook, threading.excepthook

    def of_process(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if not issubclass(kind, KeyboardInterrupt | SystemExit):
            report(error)
        before(kind, error, trace)

    def of_thread(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None and not isinstance(args.exc_value, SystemExit):
            report(args.exc_value, thread=args.thread.name if args.thread else "")
        before_thread(args)

    sys.excepthook, threading.excepthook = of_process, of_thread
    got_request_exception.connect(_of_request, weak=False, dispatch_uid="errorlog")


def _of_request(sender: Any, request: Any = None, **kwargs: Any) -> None:
    report(sys.exc_info()[1], source="server", path=getattr(request, "path", ""))


def install_in_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Reports what the loop's tasks and callbacks let escape, then does what was done before."""
    before = loop.get_exception_handler()

    def of_loop(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        report(context.get("exception"), "" if context.get("exception") else "EventLoopError", context.get("message", ""))
        if before is not None:
            before(loop, context)
        else:
            loop.default_exception_handler(context)

    loop.set_exception_handler(of_loop)
