"""The shapes that many rows share: what is always so of a failed connection, a broken stream, a client that left …"""

from __future__ import annotations

from functools import partial

from relay.ending import Cause, Fault, Outcome, Phase
from relay.rehearsal.matrix.row import Ends, Gets, Mode, Row

BOTH = (Mode.STREAM, Mode.WHOLE)
WHOLE_ONLY = (Mode.WHOLE,)
CHAT = ("chat",)
NOT_RESPONSES = ("chat", "messages")

failed = partial(Row, outcome=Outcome.UPSTREAM_ERROR, fault=Fault.UPSTREAM)
premature = partial(Row, outcome=Outcome.UPSTREAM_PREMATURE, fault=Fault.UPSTREAM)
completed = partial(Row, outcome=Outcome.COMPLETED, cause=None, phase=Phase.FINISHING, fault=None, status=200)
shortened = partial(Row, outcome=Outcome.INCOMPLETE, cause=None, phase=Phase.FINISHING, fault=None, status=200)
aborted = partial(Row, outcome=Outcome.CLIENT_ABORT, fault=Fault.CLIENT, ends=Ends.LEFT)
undelivered = partial(Row, outcome=Outcome.CLIENT_WRITE_FAILED, fault=Fault.CLIENT, phase=Phase.STREAMING, status=200)
rejected = partial(Row, outcome=Outcome.REJECTED, fault=Fault.CLIENT, gets=Gets.ERROR)

broken = partial(premature, phase=Phase.STREAMING, status=200, gets=Gets.TOLD)
unusable = partial(failed, phase=Phase.WAITING, status=502, gets=Gets.ERROR)
answered = partial(failed, phase=Phase.WAITING, modes=BOTH)
refused = partial(answered, gets=Gets.PASSED, cause=Cause.HTTP_STATUS)
fine = partial(completed, gets=Gets.WHOLE)
drops = partial(fine, reference="ok")  # as much as `ok` sends, whatever came behind it
