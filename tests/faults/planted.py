"""`manage.py`, with a bug planted into the relay: a reader that fails on events of a model that asks for it.

Run as a program, so that the gateway under test is whole but for this one function.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "proxy_project.settings")

from manage import main
from relay.wire.events import Mark
from relay.wire.openai_chat import Reader
from relay.wire.sse import Frame

read = Reader.read


def broken_read(self: Reader, frame: Frame) -> Mark:
    """Fails at the first event, or at the fifth."""
    if b"bug=first" in frame.data or (b"bug=later" in frame.data and self.answer.event_count >= 4):
        raise ValueError("planted bug")
    return read(self, frame)


if __name__ == "__main__":
    Reader.read = broken_read  # type: ignore[method-assign]
    main()
