"""Catches what nobody caught: exceptions of the process, of threads, tasks and requests, and records logged at ERROR.

Importable before Django is set up, since LOGGING names the handler. Nothing here raises and nothing here recurses: a
report that fails is dropped, and what reporting itself logs is not reported. Each hook calls the one before it, and one
exception is one event, however many hooks see it.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import traceback
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import Any

from errorlog import writing
from errorlog.signature import steady

inside_exchange: ContextVar[bool] = ContextVar("inside_exchange", default=False)
# Another path reports these, or they are the server's own words about what it has told already.
SILENT = ("django.request", "uvicorn", "epitaph.serve")
REPORTED = "_errorlog_reported"  # set on an exception once it was reported
_state = threading.local()
_installed = False


@contextmanager
def _quiet() -> Any:
    """Nothing is reported meanwhile in this thread."""
    before = getattr(_state, "quiet", False)
    _state.quiet = True
    try:
        yield
    finally:
        _state.quiet = before


def report(error: BaseException | None, name: str = "", message: str = "", *, source: str = "main", **context: Any) -> None:
    """Writes one event for `error`, or for a happening without one, unless it was reported already. Never raises."""
    if getattr(_state, "quiet", False):
        return
    with _quiet():
        try:
            if error is not None and not _first_sight(error):
                return
            fingerprint = context.pop("fingerprint", ())
            writing.write(
                writing.new_event(
                    name or type(error).__name__,
                    message or _said(error),
                    stack="".join(traceback.format_exception(error)) if error is not None else "",
                    source=source,
                    context={key: value for key, value in context.items() if value not in (None, "")},
                    fingerprint=fingerprint,
                )
            )
        except Exception:  # noqa: BLE001, S110 - reporting must not become a second failure
            pass


def _first_sight(error: BaseException) -> bool:
    if getattr(error, REPORTED, False):
        return False
    try:
        setattr(error, REPORTED, True)
    except AttributeError:
        pass  # an exception with slots is reported by each hook that sees it, rather than by none
    return True


def _said(error: BaseException | None) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - a broken __str__ must not hide the exception
        return ""


class ErrorLogHandler(logging.Handler):
    """Reports records logged at ERROR; silent for what another path already reports."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno < logging.ERROR or inside_exchange.get() or _is_silent(record.name):
            return
        error = record.exc_info[1] if record.exc_info else None
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001 - arguments that do not fit their format
            message = str(record.msg)
        where = {"logger": record.name, "level": record.levelname, "function": f"{record.module}.{record.funcName}"}
        if error is not None:
            report(error, message=_said(error) or message, log_message=message, **where)
        else:
            # the text before its arguments were filled in is what these records have in common
            report(None, "LoggedError", message, fingerprint=["LoggedError", record.name, steady(str(record.msg)[:200])], **where)


def _is_silent(logger: str) -> bool:
    return any(logger == name or logger.startswith(f"{name}.") for name in SILENT)


def install() -> None:
    """Hooks into the process, its threads and Django's requests; once."""
    global _installed
    if _installed:
        return
    _installed = True
    from django.core.signals import got_request_exception

    before, before_in_thread = sys.excepthook, threading.excepthook

    def of_process(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if not issubclass(kind, KeyboardInterrupt | SystemExit):
            report(error)
        before(kind, error, trace)

    def of_thread(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None and not isinstance(args.exc_value, SystemExit):
            report(args.exc_value, thread=args.thread.name if args.thread else "")
        before_in_thread(args)

    sys.excepthook, threading.excepthook = of_process, of_thread
    got_request_exception.connect(_of_request, weak=False, dispatch_uid="errorlog")


def _of_request(sender: Any, request: Any = None, **kwargs: Any) -> None:
    error = sys.exc_info()[1]
    if error is not None and not inside_exchange.get():
        report(error, source="server", method=getattr(request, "method", ""), path=getattr(request, "path", ""))


def install_in_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Reports what the loop's tasks and callbacks let escape, then does what was done before. Once for each loop."""
    before = loop.get_exception_handler()
    if getattr(before, REPORTED, False):
        return

    def of_loop(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error, message = context.get("exception"), str(context.get("message") or "")
        task = context.get("task") or context.get("future")
        where = {"loop_message": message, "task": task.get_name() if isinstance(task, asyncio.Task) else ""}
        if error is not None:
            report(error, **where)
        else:
            report(None, "EventLoopError", message, **where)
        with _quiet():  # asyncio logs at ERROR what was just reported
            if before is not None:
                before(loop, context)
            else:
                loop.default_exception_handler(context)

    setattr(of_loop, REPORTED, True)
    loop.set_exception_handler(of_loop)
