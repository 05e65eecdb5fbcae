"""One sentence about how a request ended and whose fault it was, and one about what the client has. Pure.

Both log apps tell it alike. The words come from the cause, the figures from the evidence (docs/endings.md); what is not
known is left out of the sentence, never guessed. An unknown cause falls back on the outcome's message.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.html import format_html
from django.utils.safestring import SafeString

from proxy_project.figures import lasted, number, size
from proxy_project.phases import ended_at, mapping, offsets, parts_of

UPSTREAM, CLIENT = "The upstream {upstream}", "The client {key}"
AFTER = " {after}{silence}"
SENTENCES = {
    "eof": UPSTREAM + " closed the connection cleanly {after}, without a terminal event{silence}",
    "reset": UPSTREAM + " reset the connection" + AFTER,
    "truncated-body": UPSTREAM + " broke off in the middle of its body" + AFTER,
    "upstream-protocol": UPSTREAM + " broke the rules of HTTP in its answer" + AFTER,
    "ws-close": UPSTREAM + " closed its WebSocket{code} {after}, before a terminal event{silence}",
    "connect-refused": UPSTREAM + " refused the connection",
    "connect-timeout": UPSTREAM + " did not accept a connection within {connect}",
    "unreachable": UPSTREAM + " could not be reached",
    "dns": "The name of the upstream {upstream} could not be resolved",
    "tls": UPSTREAM + " failed the TLS handshake",
    "proxy": "The egress proxy did not let the request through to {upstream}",
    "request-write-failed": UPSTREAM + " closed the connection while the request was being sent",
    "http-status": UPSTREAM + " answered {status}",
    "rate-limited": UPSTREAM + " limited the rate of requests: {status}",
    "quota-exhausted": UPSTREAM + " says that the quota of the credential is used up: {status}",
    "auth-rejected": UPSTREAM + " rejected the credential: {status}",
    "overloaded": UPSTREAM + " is overloaded: {status}",
    "redirected": UPSTREAM + " answered with a redirect, {status}, which is never followed",
    "first-byte-timeout": UPSTREAM + " sent nothing for {waited} after it had been asked",
    "idle-timeout": UPSTREAM + " fell silent {after} and was given up{silence}",
    "stalled": UPSTREAM + " sent only pings for long and was given up {after}",
    "total-timeout": UPSTREAM + " was given up after {ended} in all, {after}",
    "error-event": UPSTREAM + " reported an error in its stream{code} {after}",
    "malformed-event": UPSTREAM + " sent an event that cannot be read {after}",
    "oversized-event": UPSTREAM + " sent an event over the size limit {after}",
    "not-a-stream": UPSTREAM + " answered {status} with something that is no stream",
    "bad-encoding": UPSTREAM + " sent text that is not UTF-8 {after}",
    "bad-compression": UPSTREAM + " sent a body whose compression is broken {after}",
    "fin": CLIENT + " left by choice (FIN){left}",
    "client-reset": CLIENT + " left by choice (reset){left}",
    "undelivered": CLIENT + " was gone before it had read what was written to it{left}",
    "write-timeout": CLIENT + " read nothing until writing to it was given up{left}",
    "tcp-timeout": CLIENT + " vanished from the network{left}",
    "request-incomplete": CLIENT + " left while it was sending its request",
    "drain-deadline": "The relay shut down with the stream still open at its drain deadline, {after}",
    "operator-kill": "An operator ended the stream, or revoked its key, {after}",
    "relay-busy": "The relay had more requests than it takes",
    "relay-exhausted": "The relay ran out of its own resources",
    "crash": "The relay's process died with the stream open; the sweep of its journal found it",
    "bug": "The relay failed by a bug of its own",
}
REFUSED = {
    "bad-request": "its body could not be used",
    "bad-key": "its key is not known",
    "forbidden-model": "its key may not use this model",
    "no-route": "no route leads to this model",
    "no-upstream-available": "every upstream of its route is switched off",
    "over-limit": "its key is over its limit",
    "over-budget": "its key is over its budget",
    "body-too-large": "its body is too large",
    "request-timeout": "it took too long to arrive",
    "draining": "the relay was shutting down",
}


@dataclass(frozen=True, slots=True)
class Told:
    """The sentence as markup and as plain text, and what there is to add."""

    html: SafeString
    plain: str
    more: str


def told(evidence: Mapping[str, Any], *, outcome: str, cause: str, client_key: str = "", message: str = "") -> Told:
    """What happened, in a sentence without its verdict: whose fault it was is said by the page, in that fault's colour."""
    sentence = SENTENCES.get(cause)
    if sentence is None and cause in REFUSED:
        sentence = "The request was refused: {refused}"
    if sentence is None and outcome in ("completed", "incomplete"):
        sentence = UPSTREAM + (" answered in full" if outcome == "completed" else " ended a shortened answer{reason}")
    if sentence is None:
        plain = message.strip() or outcome or "Nothing is known of how it ended"
        plain = plain if plain.endswith((".", "!", "?", "…")) else f"{plain}."
        return Told(format_html("{}", plain), plain, _more(evidence, outcome))
    words = _words(evidence, cause, client_key)
    plain = _tidy(sentence.format(**words))
    bold = {name: format_html("<b>{}</b>", words[name]) if words[name] else "" for name in ("upstream", "key")}
    return Told(SafeString(_tidy(format_html(sentence, **{**words, **bold}))), plain, _more(evidence, outcome))


def _tidy(sentence: str) -> str:
    """One blank between words, a full stop at the end."""
    return re.sub(r" +([,.;:])", r"\1", re.sub(r"  +", " ", sentence)).strip(" ,:") + "."


def _words(evidence: Mapping[str, Any], cause: str, client_key: str) -> dict[str, str]:
    events = number(evidence.get("event_count"))
    parts = {part.kind: part for part in parts_of(evidence)}
    at = offsets(evidence)
    status = number(evidence.get("upstream_status"))
    code = evidence.get("close_code") if cause == "ws-close" else evidence.get("error_code")
    silence = parts.get("silence")
    wait = parts.get("wait")
    return {
        "upstream": str(evidence.get("provider") or ""),
        "key": client_key,
        "after": f"after {events:,.0f} event{'' if events == 1 else 's'}" if events else "before any event",
        "silence": f", when it had been silent for {lasted(silence.lasted)}" if silence else "",
        "left": _left(evidence, silence.lasted if silence else wait.lasted if wait and not events else None, events),
        "connect": lasted((at.get("ended", 0.0) - at["connect_start"]) if "connect_start" in at else ended_at(evidence)),
        "waited": lasted(wait.lasted if wait else ended_at(evidence)),
        "ended": lasted(ended_at(evidence)),
        "status": f"{status:.0f}" if status is not None else "an error",
        "code": f" ({str(code)[:80]})" if code not in (None, "") else "",
        "refused": REFUSED.get(cause, ""),
        "reason": f" ({evidence['finish_reason']})" if evidence.get("finish_reason") else "",
    }


def _left(evidence: Mapping[str, Any], silence: float | None, events: float | None) -> str:
    """What the client left after: a silence of the upstream when there was one, else the events that it had."""
    if silence is not None and silence >= 1000:
        upstream = evidence.get("provider")
        return f" after {lasted(silence)} in which {upstream or 'the upstream'} sent nothing"
    return f" after {events:,.0f} event{'' if events == 1 else 's'}" if events else ""


def _more(evidence: Mapping[str, Any], outcome: str) -> str:
    """What the client has, and what its protocol was told."""
    chunks, amount = number(evidence.get("written_chunks")), number(evidence.get("written_bytes"))
    status = number(evidence.get("client_status"))
    normal = outcome in ("completed", "incomplete")
    said = []
    if status is not None and status >= 400:
        said.append(f"The client was answered with {status:.0f}.")
    elif chunks:
        beats = number(mapping(evidence.get("heartbeats")).get("count")) or 0
        besides = [f"{beats:.0f} heartbeat{'' if beats == 1 else 's'}"] if beats else []
        if evidence.get("last_sent_event") == "error" and not normal:
            besides.append("an error event in its own protocol")
        has = f"The client has {chunks:,.0f} chunk{'' if chunks == 1 else 's'}, {size(amount)}"
        said.append(f"{has}{', then ' + ' and '.join(besides) if besides else ''}.")
    elif chunks == 0 and outcome:
        said.append("The client has nothing of the answer.")
    if chunks and not normal and (status or 0) < 400 and evidence.get("sent_terminal") is False:
        said.append("No terminal event was sent.")
    return " ".join(said)
