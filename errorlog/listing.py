"""The list page: which groups it shows, and what stands around them."""

from __future__ import annotations

from typing import Any

from django.contrib.admin.views.main import ChangeList
from django.db.models import Count, Q
from django.http import HttpRequest
from django.utils import timezone

from errorlog import options, panels, presenting, reading, search
from errorlog.filters import PROPERTIES, REHEARSED, Menu, StateFilter, order_of, period_of
from errorlog.models import ErrorEvent, ErrorGroup
from errorlog.periods import DAY, PERIODS
from proxy_project.charts import share_bar
from proxy_project.figures import ago, lasted, share

NOT_A_MENU = ("state", "period", "sort")
REHEARSALS_SHOWN = 100
TABS = ("unresolved", "regressed", "muted", "resolved", "ignored", "all")


def reader_of(request: HttpRequest) -> str:
    """The key under which this person's reading is kept."""
    return f"user:{request.user.pk}"


class GroupList(ChangeList):
    """The page's groups, with their figures from a few queries for all of them."""

    filter_specs: list[Menu]  # type: ignore[assignment]  # every filter of ours is one

    def get_ordering(self, request: HttpRequest, queryset: Any) -> list[Any]:
        return order_of(request)

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_list = list(self.result_list)
        period = period_of(request)
        self.requests: dict[str, int] | None = panels.ask("requests_by_upstream", period.since(timezone.now()))
        figures = presenting.figures_of(self.result_list, reader_of(request), period, self.requests)
        for group in self.result_list:
            group.figures = figures[group.pk]

    def without(self, request: HttpRequest, *parameters: str) -> Any:
        """The groups that would be found without these parameters."""
        query = self.query
        try:
            if "q" in parameters:
                self.query = ""
            found: Any = ErrorGroup.objects.all()
            for spec in self.filter_specs:
                if spec.parameter_name not in parameters:
                    found = spec.queryset(request, found)
            return search.search(found, self.query) if self.query else found
        finally:
            self.query = query


def surroundings(request: HttpRequest, cl: GroupList) -> dict[str, Any]:
    """Everything that the list's template shows beside the groups."""
    period = period_of(request)
    head = presenting.head_of(period, cl.requests)
    state = next(spec for spec in cl.filter_specs if isinstance(spec, StateFilter)).chosen()
    chips = _chips(request, cl)
    unread = reading.unread_total(reader_of(request))
    faults = {fault: count for fault, count in head.faults.items() if count}
    context = {
        "period": period,
        "periods": list(PERIODS.values()),
        "asked_period": request.GET.get("period", ""),
        "head": head,
        "faults": [(fault, count, share(count, head.events)) for fault, count in head.faults.items()],
        "fault_bar": share_bar(faults, "By fault: " + ", ".join(f"{name} {count:,}" for name, count in faults.items())),
        "tabs": _tabs(request, cl, state),
        "state": state,
        "order": request.GET.get("sort", "seen"),
        "menus": [_menu(cl, spec) for spec in cl.filter_specs if spec.parameter_name not in NOT_A_MENU],
        "chips": chips,
        **_remarks(cl),
        "unread_events": unread,
        "unbadged_events": unread - reading.badge_number(reader_of(request)),
        "drawn": period.label if period.drawn == period.hours else DAY.label,
        "kept": [(name, value) for name, value in request.GET.items() if name not in ("q", "p", "e")],
        "page": cl.paginator.get_page(cl.page_num),
        "show_menus": bool(cl.result_list or chips or head.events),
    }
    if state == REHEARSED:
        now = timezone.now()
        drills = ErrorEvent.objects.filter(group=None, drill=True).order_by("-sequence")[:REHEARSALS_SHOWN]
        context["drills"] = [(event, ago(event.time, now)) for event in drills]
    elif not cl.result_list:
        context |= _nothing(request, cl, chips)
    return context


def _tabs(request: HttpRequest, cl: GroupList, chosen: str) -> list[tuple[str, str, int, str, bool]]:
    """Name, label, count, link and whether it is chosen; the counts obey the other filters and the search."""
    found = ErrorGroup.objects.filter(pk__in=cl.without(request, "state", "sort").order_by().values("pk"))
    counts = found.aggregate(
        all=Count("pk"),
        regressed=Count("pk", filter=Q(regressed=True)),
        **{status: Count("pk", filter=Q(status=status)) for status in ErrorGroup.Status.values},
    )
    names = [name for name in TABS if name != "ignored" or counts["ignored"] or chosen == "ignored"]
    tabs = [(name, name.title(), counts[name]) for name in names]
    tabs.append((REHEARSED, "Rehearsed", ErrorEvent.objects.filter(group=None, drill=True).count()))
    return [(name, label, count, cl.get_query_string({"state": name}, ["p"]), name == chosen) for name, label, count in tabs]


def _menu(cl: GroupList, spec: Menu) -> dict[str, Any]:
    """A filter as a menu: `choices` are label, count, link, chosen."""
    name = str(spec.parameter_name)
    choices = [
        (label, spec.totals.get(value), cl.get_query_string({name: value}, ["p"]), str(spec.value()) == value)
        for value, label in spec.lookup_choices
    ]
    return {"title": spec.title, "value": spec.value(), "any": cl.get_query_string(remove=[name, "p"]), "choices": choices}


def _chips(request: HttpRequest, cl: GroupList) -> list[dict[str, Any]]:
    """What narrows the list, each with the link that takes it away."""
    chips = [
        {"name": spec.title, "value": dict(spec.lookup_choices).get(str(spec.value()), str(spec.value())), "not": False}
        | {"remove": cl.get_query_string(remove=[str(spec.parameter_name), "p"]), "parameter": spec.parameter_name}
        for spec in cl.filter_specs
        if spec.parameter_name not in NOT_A_MENU and spec.value()
    ]
    for term, rest in search.terms(cl.query):
        remove = cl.get_query_string({"q": rest}, ["p"]) if rest else cl.get_query_string(remove=["q", "p"])
        chips.append(
            {"name": term.field or "text", "value": term.value, "not": term.excludes, "remove": remove, "parameter": "q"}
        )
    return chips


def _remarks(cl: GroupList) -> dict[str, list[str]]:
    """What narrows the list to nothing, or excludes nothing, because no group can have it.

    Where nothing is found for such a word, the search was not understood, and that is what the page says.
    """
    asked = [(str(spec.parameter_name), spec.value()) for spec in cl.filter_specs if spec.parameter_name in PROPERTIES]
    unknown = [search.unknown(field, value) for field, value in asked if value]
    unknown = [remark for remark in dict.fromkeys([*unknown, *search.remarks(cl.query)]) if remark]
    if cl.result_list:
        return {"remarks": unknown, "not_understood": []}
    named = {term.named: term.value for term, _ in search.terms(cl.query) if term.named}
    as_text = [f'there is no field "{name}" here, so "{value}" was looked for as text' for name, value in named.items()]
    return {"remarks": as_text, "not_understood": unknown}


def _nothing(request: HttpRequest, cl: GroupList, chips: list[dict[str, Any]]) -> dict[str, Any]:
    """Why the list is empty: which filter to drop and what that gives, or that recording is on and how fresh it is."""
    if chips or ErrorGroup.objects.exists():
        offers = []
        words = {chip["parameter"]: f"{chip['name']} {chip['value']}" for chip in chips}
        words |= {name: word for name, word in (("q", "the text"), ("period", "the period")) if request.GET.get(name)}
        for parameter, what in words.items():
            if count := cl.without(request, parameter).count():
                offers.append((f"Without {what}", count, cl.get_query_string(remove=[parameter, "p"])))
        anywhere = cl.without(request, "state").count()
        if anywhere:
            offers.append(("In every state", anywhere, cl.get_query_string({"state": "all"}, ["p"])))
        return {"offers": offers, "narrowed": True}
    lag, newest = panels.ask("journal_lag"), panels.ask("newest_ending")
    return {
        "recording": options.enabled(),
        "journal_lag": lasted(lag * 1000) if lag else ("0 s" if lag is not None else ""),
        "newest_ending": ago(newest, timezone.now()) if newest else "",
    }
