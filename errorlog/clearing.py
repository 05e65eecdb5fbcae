"""Deleting what a person no longer wants: everything, or whole groups. Retention deletes single events instead."""

from django.db import transaction
from django.db.models import Sum

from errorlog.arrival import take_arrival_lock
from errorlog.counting import forget_kinds
from errorlog.models import ErrorEvent, ErrorGroup, HourlyCount, KindCount, ReadCursor, ReadMark, TopValue


def clear() -> int:
    """Deletes all events and groups and resets all cursors; returns how many events there had been, drills too."""
    with transaction.atomic():
        take_arrival_lock()
        total = ErrorGroup.objects.aggregate(total=Sum("count"))["total"] or 0
        deleted = total + ErrorEvent.objects.filter(group=None).count()
        for model in (ReadMark, TopValue, HourlyCount, KindCount, ErrorEvent, ErrorGroup, ReadCursor):
            model.objects.all()._raw_delete(model.objects.db)
    return deleted


def delete_groups(groups: list[int]) -> int:
    """Deletes groups with all that belongs to them; returns how many events had fallen into them."""
    with transaction.atomic():
        take_arrival_lock()
        chosen = ErrorGroup.objects.filter(pk__in=groups)
        deleted = chosen.aggregate(total=Sum("count"))["total"] or 0
        forget_kinds(groups)
        for model in (ReadMark, TopValue, HourlyCount, ErrorEvent):
            model.objects.filter(group__in=groups)._raw_delete(model.objects.db)
        chosen._raw_delete(chosen.db)
    return deleted
