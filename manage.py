#!/usr/bin/env python
"""The one door to the project: every process (server, shipper, prunes, drills) starts here.

A bad setting is the user's to mend, so it is answered with one sentence and exit code 2 instead of a traceback.
"""

import gc
import os
import signal
import sys


def main() -> None:
    if sys.version_info < (3, 11):  # noqa: UP036 - said in words, because the traceback would not be
        sys.exit("epitaph needs Python 3.11 or newer; this is Python %d.%d." % sys.version_info[:2])
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "proxy_project.settings")
    from proxy_project.environment import SettingError

    try:
        if sys.argv[1:2] == ["serve"] and not {"-h", "--help"} & set(sys.argv):
            gc.disable()  # until all is loaded: nothing of it is garbage (relay/processes.py)
            from relay.server import holding, listening

            # Before the settings are read: a DATA_DIR that is in use, or a taken port, leaves nothing behind.
            holding.hold_early()
            listening.bind_early()
        from django.core.management import execute_from_command_line

        execute_from_command_line(sys.argv)
    except SettingError as error:
        print(f"epitaph: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:  # whoever read our output (`| head`) has seen enough: no failure of ours
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains once more when it flushes
        sys.exit(128 + signal.SIGPIPE)


if __name__ == "__main__":
    main()
