"""Routes of adoption."""

from __future__ import annotations

from django.urls import path

from compute.api import adoption_views as v

urlpatterns = [
    path("compute/instances/adopt", v.AdoptMany.as_view()),
    path("compute/instances/adopt/preview", v.AdoptPreview.as_view()),
    path("compute/instances/<str:instance_id>/adopt", v.AdoptOne.as_view()),
    path("compute/adoption-rules", v.AdoptionRules.as_view()),
    path("compute/adoption-rules/preview", v.AdoptionRulePreview.as_view()),
    path("compute/adoption-rules/<str:rule_id>", v.AdoptionRuleDetail.as_view()),
    path("compute/adoption-rules/<str:rule_id>/apply", v.AdoptionRuleApply.as_view()),
]
