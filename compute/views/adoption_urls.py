"""Pages of adoption."""

from __future__ import annotations

from django.urls import path

from compute.menu import MenuEntry, menu_register
from compute.views import adoption as v

urlpatterns = [
    path("compute/adopt", v.adopt, name="adopt"),
    path("compute/adopt/rules", v.rule_list, name="adopt_rules"),
    path("compute/adopt/rules/new", v.rule_edit, name="adopt_rule_new"),
    path("compute/adopt/rules/look", v.rule_look, name="adopt_rule_look"),
    path("compute/adopt/rules/<uuid:rule_id>", v.rule_edit, name="adopt_rule"),
    path("compute/adopt/rules/<uuid:rule_id>/<str:action>", v.rule_action, name="adopt_rule_do"),
]
menu_register(MenuEntry("Manage", "Adopt", "adopt", "instance.adopt", 70, "adopt"))
