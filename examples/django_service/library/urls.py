"""The library's URLs."""

from django.urls import path

from . import views

urlpatterns = [
    path("session", views.session),
    path("members", views.members),
    path("search", views.search),
    path("suggestions", views.suggestions),
    path("books", views.books),
]
