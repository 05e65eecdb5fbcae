"""The way of one exchange through its route: attempts until one gives content, or what the last of them said.

Before commitment a failed attempt goes on to the next candidate; after it, never.
"""

from __future__ import annotations

from collections.abc import Iterator

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from relay import balancing, chains, routing
from relay.attempting import Run
from relay.ending import CAUSES, TIMEOUTS, Cause, Outcome
from relay.exchange import Exchange
from relay.reading import AttemptFailed
from relay.refusal import Refusal, client_error, error_response
from relay.snapshot import RouteSpec
from relay.streaming import event_stream, one
from relay.wire.events import Answer, BadField
from relay.wire.question import Question
from relay.wire.registry import Dialect

LAST_ATTEMPT_AFTER = 60.0  # seconds after receipt


async def relay(exchange: Exchange, request: HttpRequest, question: Question, route: RouteSpec) -> HttpResponseBase:
    """The answer to one request: a stream, a whole body, or what the last attempt said.

    Raises:
        Refusal: an operator switched off everything on the route, or what is asked cannot be put to any upstream of it.
    """
    now = exchange.loop.time()
    exchange.routed = now
    exchange.opaque = not question.main
    affinity = ""
    if route.strategy == "sticky":
        affinity = f"{exchange.client_key}\0{balancing.conversation(question.body or {}, exchange.variant_hash)}"
    exchange.upstream_model = route.upstream_model or exchange.model
    question = question.shaped(route.changes(question.body or {}))
    able = _able(routing.candidates(route, question.dialect.protocol, now, affinity), question, exchange)
    found = _placed(able)
    if found is None:
        raise Refusal(Cause.RELAY_BUSY, "as many requests as may use each of the route's credentials; try again shortly")
    failure: AttemptFailed | None = None
    tried = 0
    while found is not None:
        candidate, place = found
        tried += 1
        if exchange.place is not None:
            exchange.place.leave()
        exchange.place = place
        run = Run(exchange, request, question, candidate)
        for fresh in (False, True):
            try:
                return await run.attempt(fresh)
            except AttemptFailed as failed:
                failure = failed
                run.failed(failed)
                if not fresh and run.died_on_reused(failed):
                    run.record.next = "retried on a new connection: the reused one had died"
                    continue
                break
        assert failure is not None
        if failure.cause in TIMEOUTS or CAUSES[failure.cause].outcome is Outcome.UPSTREAM_ERROR:
            routing.cool_after(candidate, failure.cause, failure.detail, exchange.loop.time(), failure.wait)
        why = _no_more(exchange, failure)
        found = None if why or tried >= route.max_attempts else _placed(able)
        run.record.next = why or ("tried the next" if found else "not tried again: no candidate left")
    assert failure is not None
    return _told(exchange, question.dialect, failure)


def _placed(able: Iterator[routing.Candidate]) -> tuple[routing.Candidate, balancing.Place] | None:
    """The next candidate that has room for one more request, and its place; None when there is none."""
    for candidate in able:
        place = balancing.take(candidate)
        if place is not None:
            return candidate, place
    return None


def _able(candidates: list[routing.Candidate], question: Question, exchange: Exchange) -> Iterator[routing.Candidate]:
    """The candidates that this question can be put to. It is put into an upstream's words when that one's turn comes.

    Raises:
        Refusal: there is none; what stands in the way is named when it is a field of the request.
    """
    refused: BadField | None = None
    made_it = chains.bound(candidates, question)
    if candidates and not made_it:
        raise Refusal(Cause.BAD_REQUEST, f"{chains.named_by(question)} was made by a credential that this route does not use")
    known: set[tuple[str, str]] = set()  # one account is asked once, though it be two upstreams of two protocols
    for candidate in made_it:
        account = (candidate.upstream.base_url, candidate.credential.secret)
        if account in known:
            continue
        try:
            if question.sending(candidate.upstream.protocol, exchange.upstream_model) is None:
                continue
        except BadField as error:
            refused = refused or error
            continue
        known.add(account)
        yield candidate
    if known:
        return
    if refused is not None:
        raise Refusal(Cause.BAD_REQUEST, str(refused))
    if question.counts:
        raise Refusal(Cause.NO_ROUTE, f"no upstream of {exchange.model!r} has a call that counts tokens, so none can be counted")
    what = f"serves {exchange.model!r}" if exchange.model else f"has {question.path}"
    raise Refusal(Cause.NO_UPSTREAM_AVAILABLE, f"no upstream that speaks {question.dialect.protocol} {what}")


def _no_more(exchange: Exchange, failure: AttemptFailed) -> str:
    """Why nobody else is asked; empty when somebody may be."""
    if not failure.again:
        return "not tried again: another would have failed alike"
    if exchange.committed:
        return "not tried again: the client had been answered"
    if exchange.loop.time() - exchange.received > LAST_ATTEMPT_AFTER:
        return "not tried again: too late"
    return ""


def _told(exchange: Exchange, dialect: Dialect, failure: AttemptFailed) -> HttpResponseBase:
    """What the client gets when every attempt failed."""
    exchange.note(failure.cause, failure.detail, failure.at)
    error = client_error(exchange, failure.cause, failure.detail, failure.status)
    if exchange.headers_sent:
        return event_stream(one(dialect.error_frame(error, Answer())), dialect.stream_type)
    if failure.body is not None:
        response = HttpResponse(failure.body, status=error.status, content_type="application/json")
    else:
        response = error_response(failure.cause, error, dialect)
    for name, value in failure.headers:
        if name != "content-type":
            response[name] = value
    return response
