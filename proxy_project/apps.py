"""The admin application, with our site in place of Django's."""

from django.contrib.admin.apps import AdminConfig


class EpitaphAdminConfig(AdminConfig):
    default_site = "proxy_project.admin_site.EpitaphAdminSite"
