"""The addresses that the tests of the gateway's admin need, and no more."""

from django.contrib import admin
from django.urls import path

urlpatterns = [path("admin/", admin.site.urls)]
