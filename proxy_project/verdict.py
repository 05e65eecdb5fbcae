"""What became of one request, in a sentence, and whose fault it was: evidence (docs/endings.md) in, safe markup out. Pure.

Both log apps say it with this, so that no second place turns a cause into words. Figures and names from the evidence are
escaped; evidence may lack any field, and then the sentence says less, never something wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.html import format_html
from django.utils.safestring import SafeString

from proxy_project.figures import chunks_of, lasted, number, size
from proxy_project.phases import ended_at, mapping, offsets, parts_of

NOTHING = SafeString("")

# What each cause says. {upstream} and {client} begin or stand within a sentence; {after} counts events, {silent} tells of
# the silence before the end, {status}, {code} and {limit} are figures; each is empty where nothing is known of it.
SAYS: dict[str, str] = {
    # connecting
    "connect-refused": "{upstream} refused the connection.",
    "connect-timeout": "{upstream} did not take the connection in time{took}.",
    "unreachable": "{upstream} could not be reached.",
    "dns": "The address of {upstream} could not be looked up.",
    "tls": "No secure connection to {upstream} came about: TLS failed.",
    "proxy": "The proxy on the way to {upstream} failed.",
    "request-write-failed": "The connection to {upstream} broke while the request was being sent.",
    # answered
    "http-status": "{upstream} answered with an error{status}.",
    "rate-limited": "{upstream} said that there were too many requests{status}.",
    "quota-exhausted": "{upstream} said that the quota is used up{status}; waiting does not cure that.",
    "auth-rejected": "{upstream} did not accept our credential{credential}{status}.",
    "overloaded": "{upstream} said that it was overloaded{status}.",
    "redirected": "{upstream} answered with a redirect{status}, which is never followed.",
    # time
    "first-byte-timeout": "{upstream} took the request and sent nothing{waited}.",
    "idle-timeout": "{upstream} went silent{after} and was given up{silent}.",
    "stalled": "{upstream} kept the stream open{after} without any content, and was given up.",
    "total-timeout": "The answer of {upstream} took longer than it may{took}.",
    # ended
    "eof": "{upstream} closed the connection cleanly{after}, without a terminal event{silent}.",
    "truncated-body": "{upstream} cut its answer short{after}: the body is not whole{silent}.",
    "reset": "{upstream} reset the connection{after}, without a terminal event{silent}.",
    "ws-close": "{upstream} closed the WebSocket{code}{after}, without a terminal event{silent}.",
    # in the stream
    "error-event": "{upstream} sent an error{code}{after}.",
    "malformed-event": "{upstream} sent an event that is not valid JSON{after}.",
    "oversized-event": "{upstream} sent an event that is larger than we take{after}.",
    "not-a-stream": "{upstream} answered with something that is not the stream it was asked for{status}.",
    "bad-encoding": "{upstream} sent text that is not UTF-8{after}.",
    "bad-compression": "{upstream} sent a body that could not be decompressed{after}.",
    "upstream-protocol": "{upstream} broke the HTTP protocol{after}.",
    # client
    "fin": "{client} closed its connection (FIN){left}.",
    "client-reset": "{client} reset its connection{left}.",
    "undelivered": "The connection of {client} broke with bytes unsent{left}.",
    "write-timeout": "{client} read nothing for too long and was given up{left}.",
    "tcp-timeout": "{client} vanished from the network{left}.",
    # refused by us
    "bad-request": "Refused before any upstream was asked: the request could not be understood.",
    "bad-key": "Refused before any upstream was asked: no known client key came with it.",
    "forbidden-model": "Refused before any upstream was asked: the key of {client} may not ask for this model.",
    "no-route": "Refused before any upstream was asked: no route serves this model.",
    "no-upstream-available": "Refused: every upstream and credential of the route is switched off.",
    "over-limit": "Refused before any upstream was asked: {client} is over its limit.",
    "over-budget": "Refused before any upstream was asked: {client} is over its budget.",
    "body-too-large": "Refused before any upstream was asked: the request is larger than we take.",
    "request-incomplete": "{client} left while still sending its request.",
    "request-timeout": "{client} did not send its whole request in time.",
    "draining": "Refused because this process was shutting down.",
    # ours
    "drain-deadline": "This process shut down, and the stream was still open at the end of its drain time{after}.",
    "operator-kill": "An operator ended the stream{after}.",
    "relay-busy": "Refused because the gateway was too busy.",
    "relay-exhausted": "The gateway had run out of resources.",
    "crash": "The gateway's process died with the request open{after}.",
    "bug": "The gateway failed by a bug of its own{after}.",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """`sentence` says what happened; `fault` whose it was, empty for normal endings; `remark` why, and what the client has."""

    sentence: SafeString
    fault: str
    remark: str


def verdict(
    evidence: Mapping[str, Any],
    *,
    outcome: str | None,
    cause: str | None = None,
    fault: str | None = None,
    fault_reason: str | None = None,
    client: str | None = None,
    error: str | None = None,
) -> Verdict:
    """The verdict on one request; `outcome` is None while it is open, `client` the label of its key.

    Also on what is no request, such as an exception: then `error` is the sentence.
    """
    if not outcome:
        return Verdict(_open(evidence), "", "")
    if outcome == "completed":
        return Verdict(_completed(evidence), "", "")
    if outcome == "incomplete":
        return Verdict(_incomplete(evidence), "", "")
    says = SAYS.get(cause or "")
    if says is None:
        sentence = format_html("{}", _closed(error or outcome.replace("-", " ")))
    else:
        sentence = _capital(format_html(says, **_phrases(evidence, client, outcome)))
    reason = _closed(_capital(fault_reason)) if fault_reason else ""
    return Verdict(sentence, fault or "", " ".join(filter(None, (reason, _delivered(evidence)))))


def _phrases(evidence: Mapping[str, Any], client: str | None, outcome: str) -> dict[str, SafeString]:
    silence = next((part.lasted for part in parts_of(evidence) if part.kind == "silence"), 0.0)
    silent = format_html(", when it had been silent for {}", _figure(silence)) if silence >= 1000 else NOTHING
    after = _after(evidence)
    status = number(evidence.get("upstream_status"))
    credential = mapping(evidence.get("credential")).get("label")
    upstream = _named("the upstream", evidence.get("provider"))
    ended = ended_at(evidence)
    sent = offsets(evidence).get("request_sent", 0.0)
    return {
        "upstream": upstream,
        "client": _named("the client", client),
        "after": after,
        "silent": silent,
        "left": _left(evidence, silence, upstream, outcome),
        "status": format_html(" ({})", f"{status:.0f}") if status is not None else NOTHING,
        "code": _code(evidence),
        "credential": format_html(" <b>{}</b>", credential) if credential else NOTHING,
        "took": format_html(": {}", _figure(ended)) if ended else NOTHING,
        "waited": format_html(" in {}", _figure(ended - sent)) if ended > sent else NOTHING,
    }


def _figure(ms: float) -> SafeString:
    """A duration that no line ends in the middle of."""
    return format_html("<b>{}</b>", lasted(ms).replace(" ", "\u00a0"))


def _left(evidence: Mapping[str, Any], silence: float, upstream: SafeString, outcome: str) -> SafeString:
    """When a client left: after how much silence, and of how much that had come before it."""
    if silence < 1000 or outcome != "client-abort":
        return _after(evidence)
    if events := number(evidence.get("event_count")):
        return format_html(" after {} of silence from {} that followed {}", _figure(silence), upstream, _events(events))
    return format_html(" after {} in which {} sent nothing", _figure(silence), upstream)


def _after(evidence: Mapping[str, Any]) -> SafeString:
    events = number(evidence.get("event_count"))
    if events is None:
        return NOTHING
    return format_html(" after {}", _events(events)) if events else SafeString(" before the first event")


def _events(events: float) -> SafeString:
    return format_html("<b>{} event{}</b>", f"{events:,.0f}", "" if events == 1 else "s")


def _code(evidence: Mapping[str, Any]) -> SafeString:
    code = evidence.get("close_code", evidence.get("error_code"))
    return format_html(" (<code>{}</code>)", code) if code not in (None, "") else NOTHING


def _named(what: str, name: Any) -> SafeString:
    return format_html("{} <b>{}</b>", what, name) if name else SafeString(what)


def _open(evidence: Mapping[str, Any]) -> SafeString:
    upstream = _named("the upstream", evidence.get("provider"))
    events = number(evidence.get("event_count"))
    if events:
        return format_html("In flight: {} has sent <b>{}</b> events so far.", upstream, f"{events:,.0f}")
    return SafeString("In flight: it has not ended yet.")


def _completed(evidence: Mapping[str, Any]) -> SafeString:
    ended, first = ended_at(evidence), offsets(evidence).get("first_event")
    if not ended:
        return SafeString("Completed.")
    if first is None:
        return format_html("Completed in {}.", _figure(ended))
    return format_html("Completed in {}; the first event came after {}.", _figure(ended), _figure(first))


def _incomplete(evidence: Mapping[str, Any]) -> SafeString:
    upstream, why = _named("the upstream", evidence.get("provider")), evidence.get("finish_reason")
    said = format_html("{} ended its answer properly, but early", upstream)
    return _capital(format_html("{}: <code>{}</code>.", said, why) if why else format_html("{}.", said))


def _delivered(evidence: Mapping[str, Any]) -> str:
    """What the client has of an answer that did not end well, and what it was told in its own protocol."""
    chunks, amount = number(evidence.get("written_chunks")), number(evidence.get("written_bytes"))
    status = number(evidence.get("client_status"))
    if status is not None and status >= 400:
        return f"The client was answered with {status:.0f}."
    if evidence.get("kind") == "relay-lost":
        return _last_heard(evidence, chunks, amount)
    if chunks == 0:
        return "The client has nothing of the answer."
    if not chunks:
        return ""
    beats = number(mapping(evidence.get("heartbeats")).get("count")) or 0
    besides = [f"{beats:.0f} heartbeat{'' if beats == 1 else 's'}"] if beats else []
    if evidence.get("last_sent_event") == "error":
        besides.append("an error event in its own protocol")
    has = f"The client has {chunks_of(chunks)}, {size(amount)}"
    said = f"{has}{', then ' + ' and '.join(besides) if besides else ''}."
    return f"{said} No terminal event was sent." if evidence.get("sent_terminal") is False else said


def _last_heard(evidence: Mapping[str, Any], chunks: float | None, amount: float | None) -> str:
    """What the client had of a request whose process died, when that last told of it."""
    known = number(mapping(evidence.get("timeline")).get("last_known"))
    if chunks is None or not known:
        return "How much of an answer the client has is not known."
    had = f"The client had {chunks_of(chunks)}, {size(amount)}"
    return f"{had} when this was last heard of, after {lasted(known)}; it may have more."


def _capital(text: Any) -> Any:
    """The first letter raised; what was safe stays safe, for no markup begins a text here."""
    raised = f"{text[:1].upper()}{text[1:]}"
    return SafeString(raised) if isinstance(text, SafeString) else raised


def _closed(text: str) -> str:
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."
