"""A scripted upstream: it answers as the providers do, or goes wrong in every way the fault matrix names.

The model of a request is its script (`eof,after=3`). A script names a scenario (`scenarios.py`, the table), whose play
is a pure generator of steps (`steps.py`): a head, bytes, pauses, an ending. Only `connection.py` touches a socket, and
it does exactly what the steps say, lies included. Nothing here knows Django or the relay: the tests, the drills and
the demo must see an upstream that shares no code, and so no mistakes, with what reads it.
"""
