"""``/compute/schedules``."""

from __future__ import annotations

from django.http.response import HttpResponseBase
from rest_framework.request import Request
from rest_framework.response import Response

from compute.api import schedule_shapes as shapes
from compute.api.base import PAGING, ApiView, Parse, text, whole
from compute.api.schema import api
from compute.selectors.operations import operation_full
from compute.selectors.page import time_text
from compute.selectors.schedules import (
    ScheduleFilter,
    run_dict,
    runs_page,
    schedule_get,
    schedule_shown,
    schedules_page,
)
from compute.services import schedules
from compute.services.schedule_runs import schedule_run_now

_FILTERS = ("q", "project", "action", "page", "page_size", "sort")


class Schedules(ApiView):
    @api("schedules", "All schedules, by name", response=shapes.SchedulePage, query=_FILTERS)
    def get(self, request: Request) -> HttpResponseBase:
        known: dict[str, Parse] = {name: text for name in _FILTERS} | PAGING
        return self.answer_page(schedules_page(self.actor, ScheduleFilter(**self.query(known))))

    @api("schedules", "Make one; it runs as whoever makes it", request=shapes.ScheduleCreateRequest,
         response=shapes.ScheduleShape, status=201, errors=(409,))  # fmt: skip
    def post(self, request: Request) -> HttpResponseBase:
        self.query({})
        row = schedules.schedule_create(self.actor, self.body(shapes.ScheduleCreateRequest))
        return Response(
            schedule_shown(row), status=201, headers={"Location": f"/api/v1/compute/schedules/{row.pk}"}
        )


class SchedulePreview(ApiView):
    @api("schedules", "A cron expression in words, and its next times", operation_id="schedules_preview",
         request=shapes.SchedulePreviewRequest, response=shapes.SchedulePreviewShape)  # fmt: skip
    def post(self, request: Request) -> HttpResponseBase:
        self.query({})
        found = schedules.schedule_preview(self.body(shapes.SchedulePreviewRequest))
        return Response({**found, "next": [time_text(at) for at in found["next"]]})


class ScheduleDetail(ApiView):
    change_shape = shapes.ScheduleUpdateRequest

    @api("schedules", "One schedule", response=shapes.ScheduleShape, operation_id="schedules_retrieve_one")
    def get(self, request: Request, schedule_id: str) -> HttpResponseBase:
        self.query({})
        return self.answer(schedule_shown(schedule_get(self.actor, schedule_id)))

    @api("schedules", "Change it; whoever does is its owner from then on",
         request=shapes.ScheduleUpdateRequest, response=shapes.ScheduleShape, errors=(409, 412))  # fmt: skip
    def put(self, request: Request, schedule_id: str) -> HttpResponseBase:
        self.query({})
        row = schedule_get(self.actor, schedule_id)
        self.precondition(schedule_shown(row))
        changes = self.body(shapes.ScheduleUpdateRequest)
        return self.answer(schedule_shown(schedules.schedule_update(self.actor, row.pk, changes)))

    patch = put

    @api("schedules", "Remove it; what it made stays", status=204)
    def delete(self, request: Request, schedule_id: str) -> HttpResponseBase:
        self.query({})
        schedules.schedule_delete(self.actor, schedule_id)
        return Response(status=204)


class ScheduleRuns(ApiView):
    @api("schedules", "Its runs, newest first", response=shapes.ScheduleRunPage, query=("page", "page_size"))
    def get(self, request: Request, schedule_id: str) -> HttpResponseBase:
        asked = self.query({"page": whole, "page_size": whole})
        return self.answer_page(runs_page(self.actor, schedule_get(self.actor, schedule_id), **asked))


class ScheduleRun(ApiView):
    @api("schedules", "Run it now, as its owner", response=shapes.ScheduleRunAnswer, errors=(409, 503))
    def post(self, request: Request, schedule_id: str) -> HttpResponseBase:
        self.query({})
        self.body()
        run = schedule_run_now(self.actor, schedule_id)
        operation = None if run.operation is None else operation_full(run.operation)
        return Response({"run": run_dict(run), "operation": operation})


class SchedulePause(ApiView):
    @api("schedules", "Let it rest", response=shapes.ScheduleShape)
    def put(self, request: Request, schedule_id: str) -> HttpResponseBase:
        self.body()
        return self.answer(schedule_shown(schedules.schedule_pause(self.actor, schedule_id, paused=True)))


class ScheduleResume(ApiView):
    @api("schedules", "Let it run again, from its next time on", response=shapes.ScheduleShape)
    def put(self, request: Request, schedule_id: str) -> HttpResponseBase:
        self.body()
        return self.answer(schedule_shown(schedules.schedule_pause(self.actor, schedule_id, paused=False)))
