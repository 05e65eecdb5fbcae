"""Users: Django's own pages, where the two dates are read, not written."""

from axes.models import AccessFailureLog
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import User

admin.site.unregister(User)
admin.site.unregister(AccessFailureLog)  # a table that axes fills only where AXES_ENABLE_ACCESS_FAILURE_LOG is set


@admin.register(User)
class OperatorAdmin(UserAdmin):
    list_display = ("username", "is_active", "is_staff", "is_superuser", "in_groups", "last_login")
    readonly_fields = ("last_login", "date_joined")

    @admin.display(description="groups")
    def in_groups(self, user: User) -> str:
        return ", ".join(group.name for group in user.groups.all()) or "–"
