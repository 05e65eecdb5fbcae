"""From a case to the bytes that its client sends."""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from relay.rehearsal.matrix import client
from relay.rehearsal.matrix.row import END, FIRST, Case
from relay.rehearsal.matrix.upstreams import LIMITED_KEY


def sent_for(case: Case, headers: Mapping[str, str], key: str, limited_key: str = LIMITED_KEY) -> bytes:
    """The request, as much of it as the row says; `key` is the client key, where the row does not name another.

    `limited_key` is one that may ask for few models, for the rows that are about that.
    """
    body = body_for(case)
    shown = case.row.request.get("key", key)
    shown = limited_key if shown == LIMITED_KEY else shown
    authorization = {"authorization": f"Bearer {shown}"} if shown else {}
    place = case.column.place(case.model, case.streamed)
    sent = client.request(place, body, {**headers, **authorization}, case.row.client.declares)
    return sent[: len(sent) - int(len(body) * (1 - case.row.client.sends))] if case.row.client.sends < 1 else sent


def end_for(case: Case) -> bytes:
    """What the client reads until, before it behaves as the row says."""
    return {END: case.column.end, FIRST: case.column.first}.get(case.row.client.after, case.row.client.after)


def body_for(case: Case) -> bytes:
    """The request's body, with what the row says otherwise."""
    asked = case.row.request
    if "" in asked:
        return asked[""]  # type: ignore[no-any-return]
    fields = case.column.body(case.model, case.streamed) | {name: value for name, value in asked.items() if name != "key"}
    if case.row.client.pads:
        fields["padding"] = "x" * case.row.client.pads
    return orjson.dumps({name: value for name, value in fields.items() if value is not None})
