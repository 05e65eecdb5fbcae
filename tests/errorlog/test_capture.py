"""What nobody caught becomes one event, the hook before ours still runs, and reporting never fails its caller."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from django.core.signals import got_request_exception
from django.http import HttpRequest
from django.test import RequestFactory

from errorlog import capture, writing
from relay.server.handler import RelayHandler
from relay.server.server import GatewayServer

written: list[dict[str, Any]] = []
ROOT = Path(__file__).resolve().parents[2]


def keep(event: dict[str, Any]) -> None:
    written.append(event)


def fail(event: dict[str, Any]) -> None:
    logging.getLogger("a.writer").error("cannot write")
    raise OSError("disk full")


@pytest.fixture(autouse=True)
def events(settings: Any) -> Iterator[list[dict[str, Any]]]:
    settings.ERRORLOG = {**settings.ERRORLOG, "WRITER": f"{__name__}.keep"}
    written.clear()
    yield written
    written.clear()


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    logger = logging.getLogger("tests.capture")
    handler = capture.ErrorLogHandler(logging.ERROR)
    logger.addHandler(handler)
    logger.propagate = False
    yield logger
    logger.removeHandler(handler)
    logger.propagate = True


def boom() -> None:
    raise ValueError("boom")


def caught() -> ValueError:
    try:
        boom()
    except ValueError as error:
        return error
    raise AssertionError


def in_a_process(code: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """Runs `code` in a project that writes what is captured to a file."""
    setup = f"""
import json, os, sys
os.environ["DATA_DIR"] = {str(tmp_path)!r}
sys.path.insert(0, {str(ROOT)!r})
from proxy_project import settings as s
def writer(event):
    with open({str(tmp_path / "events")!r}, "a") as file:
        file.write(json.dumps(event) + chr(10))
sys.modules["the_writer"] = type(sys)("the_writer")
sys.modules["the_writer"].write = writer
s.ERRORLOG["WRITER"] = "the_writer.write"
os.environ["DJANGO_SETTINGS_MODULE"] = "proxy_project.settings"
import django
django.setup()
"""
    return subprocess.run([sys.executable, "-c", setup + code], capture_output=True, text=True, timeout=60, cwd=tmp_path)


def test_an_exception_of_the_process_is_one_event_and_its_exit_code_and_traceback_stay(tmp_path: Path) -> None:
    done = in_a_process("def f():\n    raise KeyError('gone')\nf()", tmp_path)
    assert done.returncode == 1
    assert "KeyError: 'gone'" in done.stderr
    lines = (tmp_path / "events").read_text().splitlines()
    assert len(lines) == 1 and '"name": "KeyError"' in lines[0] and "in f" in lines[0]


def test_a_child_of_the_gateway_that_fails_is_one_event(tmp_path: Path) -> None:
    code = """
from relay.processes import Parent
def fails():
    raise RuntimeError("the child broke")
Parent().add("worker 1", fails)
os._exit(os.waitstatus_to_exitcode(os.wait()[1]))
"""
    assert in_a_process(code, tmp_path).returncode == 1
    (line,) = (tmp_path / "events").read_text().splitlines()
    assert '"name": "RuntimeError"' in line and '"process": "worker 1"' in line


def test_leaving_is_no_error(tmp_path: Path) -> None:
    assert in_a_process("raise SystemExit(7)", tmp_path).returncode == 7
    assert in_a_process("raise KeyboardInterrupt", tmp_path).returncode != 0
    assert not (tmp_path / "events").exists()


def test_an_exception_of_a_thread_is_one_event(events: list[dict[str, Any]]) -> None:
    seen: list[Any] = []
    before, threading.excepthook = threading.excepthook, seen.append
    installed, capture._installed = capture._installed, False
    process_hook = sys.excepthook
    try:
        capture.install()
        thread = threading.Thread(target=boom, name="a-thread")
        thread.start()
        thread.join()
    finally:
        threading.excepthook, sys.excepthook, capture._installed = before, process_hook, installed
    assert [(event["name"], event["context"]) for event in events] == [("ValueError", {"thread": "a-thread"})]
    assert len(seen) == 1  # the hook that was there before


def test_installing_twice_hooks_once() -> None:
    before = sys.excepthook, threading.excepthook
    capture.install()
    assert (sys.excepthook, threading.excepthook) == before


async def test_what_a_task_lets_escape_is_one_event_and_the_loops_own_handler_runs(
    events: list[dict[str, Any]], logger: logging.Logger
) -> None:
    loop = asyncio.get_running_loop()
    seen: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda loop, context: (seen.append(context), logger.error("asyncio logs it too")))
    capture.install_in_loop(loop)
    capture.install_in_loop(loop)

    async def fails() -> None:
        boom()

    task = asyncio.create_task(fails(), name="a-task")
    await asyncio.sleep(0.01)
    del task
    await asyncio.sleep(0.01)
    loop.call_exception_handler({"message": "a callback without an exception"})
    assert [event["name"] for event in events] == ["ValueError", "EventLoopError"]
    assert events[0]["context"]["task"] == "a-task"
    assert len(seen) == 2


async def test_a_workers_loop_is_watched(events: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RelayHandler, "draining", False)  # the shutdown sets it for good

    async def application(scope: Any, receive: Any, send: Any) -> None: ...

    config = uvicorn.Config(application, host="127.0.0.1", port=0, lifespan="off", log_config=None)
    config.load()
    server = GatewayServer(config, loaded=lambda: None)
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    asyncio.get_running_loop().call_soon(boom)
    await asyncio.sleep(0.01)
    await server.shutdown()
    assert [event["name"] for event in events] == ["ValueError"]


def test_an_exception_of_a_request_is_one_event_though_it_is_logged_too(
    events: list[dict[str, Any]], logger: logging.Logger, rf: RequestFactory
) -> None:
    try:
        boom()
    except ValueError:
        got_request_exception.send(sender=HttpRequest, request=rf.post("/admin/x/?token=secret"))
        logger.exception("Internal Server Error")
    assert len(events) == 1
    assert (events[0]["source"], events[0]["context"]) == ("server", {"method": "POST", "path": "/admin/x/"})
    assert "in boom" in events[0]["stack"]


def test_errors_that_are_logged_are_grouped_by_their_text_before_its_arguments(
    events: list[dict[str, Any]], logger: logging.Logger
) -> None:
    for number in (1, 2):
        logger.error("row %s is lost", f"x{number}")
        logger.error(f"batch {number}0 of 0x{number}f took too long")
    logger.warning("no error")
    assert [event["message"] for event in events[::2]] == ["row x1 is lost", "row x2 is lost"]
    assert events[0]["fingerprint"] == events[2]["fingerprint"]
    assert events[1]["fingerprint"] == events[3]["fingerprint"]


def test_arguments_that_do_not_fit_lose_no_report(events: list[dict[str, Any]]) -> None:
    capture.ErrorLogHandler().emit(logging.LogRecord("x", logging.ERROR, "f", 1, "%d and %d", ("no",), None))
    assert events[0]["message"] == "%d and %d"


@pytest.mark.parametrize("name", ["django.request", "uvicorn", "uvicorn.error", "uvicorn.access"])
def test_what_another_path_reports_is_not_reported_again(events: list[dict[str, Any]], name: str) -> None:
    capture.ErrorLogHandler().emit(logging.LogRecord(name, logging.ERROR, "f", 1, "no", (), None))
    assert not events


def test_inside_an_exchange_nothing_logged_is_reported(events: list[dict[str, Any]], logger: logging.Logger) -> None:
    token = capture.inside_exchange.set(True)
    try:
        logger.error("part of a relay-error")
    finally:
        capture.inside_exchange.reset(token)
    assert not events
    logger.error("outside")
    assert len(events) == 1


def test_one_exception_is_one_event_and_two_are_two(events: list[dict[str, Any]]) -> None:
    error = caught()
    capture.report(error)
    capture.report(error)
    capture.report(caught())
    assert len(events) == 2
    assert events[0]["id"] != events[1]["id"]
    assert events[0]["id"][14] == "7"


def test_a_writer_that_fails_and_logs_neither_raises_nor_recurses(settings: Any, logger: logging.Logger) -> None:
    settings.ERRORLOG = {**settings.ERRORLOG, "WRITER": f"{__name__}.fail"}
    logging.getLogger("a.writer").addHandler(handler := capture.ErrorLogHandler(logging.ERROR))
    try:
        capture.report(caught())
        logger.error("x")
        settings.ERRORLOG = {**settings.ERRORLOG, "WRITER": "no.such.module"}
        capture.report(caught())
    finally:
        logging.getLogger("a.writer").removeHandler(handler)
    assert not written


def test_an_exception_that_cannot_be_shown_is_an_event(events: list[dict[str, Any]]) -> None:
    class Odd(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    capture.report(Odd())
    assert events[0]["name"] == "Odd"


def test_switched_off_nothing_is_written(events: list[dict[str, Any]], settings: Any) -> None:
    settings.ERRORLOG = {**settings.ERRORLOG, "ENABLED": False}
    capture.report(caught())
    assert not events


def test_the_handler_can_be_made_and_used_before_django_is_set_up(tmp_path: Path) -> None:
    code = (
        "import logging; from errorlog.capture import ErrorLogHandler, report;"
        "logging.getLogger().addHandler(ErrorLogHandler()); logging.error('early'); report(ValueError('early')); print('ok')"
    )
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=environment, cwd=tmp_path)
    assert (done.returncode, done.stdout.strip()) == (0, "ok"), done.stderr


def test_ids_sort_by_time() -> None:
    assert writing.new_id(1_000.0) < writing.new_id(1_000.5) < writing.new_id(2_000_000_000.0)
