"""Addresses: the client API under /v1, /v1beta and (Ollama) /api, the management API under /api, operations, and the admin."""

from django.contrib import admin
from django.urls import path
from django.views.generic import RedirectView

from proxy_project.management_api import api as management_api
from proxy_project.operations import healthz, metrics, readyz
from relay.api.client_api import api as client_api

urlpatterns = [
    path("", RedirectView.as_view(url="/admin/")),
    path("", client_api.urls),  # before the management API, which answers all else under /api
    path("api/", management_api.urls),
    path("healthz", healthz),
    path("readyz", readyz),
    path("metrics", metrics),
    path("admin/", admin.site.urls),
]
