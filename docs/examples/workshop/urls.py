from django.urls import path

from workshop import views

urlpatterns = [
    path("shops/<slug:shop>/tools", views.tools),
    path("shops/<slug:shop>/tools/add", views.add),
    path("shops/<slug:shop>/hand-over", views.hand_over),
    path("tools/<id>/lend", views.lend),
]
