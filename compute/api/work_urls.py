"""Routes of work on many instances and of work that comes again."""

from __future__ import annotations

from django.urls import path

from compute.api import bulk_views as b
from compute.api import schedule_views as v

urlpatterns = [
    path("compute/instances/bulk", b.InstancesBulk.as_view()),
    path("compute/schedules", v.Schedules.as_view()),
    path("compute/schedules/preview", v.SchedulePreview.as_view()),
    path("compute/schedules/<str:schedule_id>", v.ScheduleDetail.as_view()),
    path("compute/schedules/<str:schedule_id>/runs", v.ScheduleRuns.as_view()),
    path("compute/schedules/<str:schedule_id>/run", v.ScheduleRun.as_view()),
    path("compute/schedules/<str:schedule_id>/pause", v.SchedulePause.as_view()),
    path("compute/schedules/<str:schedule_id>/resume", v.ScheduleResume.as_view()),
]
