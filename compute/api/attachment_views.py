"""``/compute/instances/:id/networks`` and ``/storage``: what an instance is attached to."""

from __future__ import annotations

from django.http.response import HttpResponseBase
from rest_framework.request import Request

from compute.api import serializers as s
from compute.api.account_views import LISTED, listing_answer
from compute.api.base import ApiView, boolean
from compute.api.schema import api
from compute.services import attachments

_ERRORS = (409, 422, 502, 503, 504)


class InstanceNetworks(ApiView):
    @api("instances", "The networks it is on", response=s.AttachedNetworkPage, query=LISTED)
    def get(self, request: Request, instance_id: str) -> HttpResponseBase:
        return listing_answer(self, attachments.networks_of(self.actor, instance_id))

    @api(
        "instances",
        "Put it on a network, live",
        request=s.NetworkAttachRequest,
        response=s.Accepted,
        status=202,
        errors=_ERRORS,
    )
    def post(self, request: Request, instance_id: str) -> HttpResponseBase:
        self.wait_seconds()
        body = self.body(s.NetworkAttachRequest)
        operation = attachments.network_attach(self.actor, instance_id, body)
        return self.answer_operation(operation, ends_as=201)


class InstanceNetwork(ApiView):
    @api(
        "instances",
        "Take it off a network, live",
        response=s.Accepted,
        status=202,
        query=("force",),
        errors=_ERRORS,
    )
    def delete(self, request: Request, instance_id: str, network: str) -> HttpResponseBase:
        self.wait_seconds()
        asked = self.query({"force": boolean})
        self.body()
        return self.answer_operation(attachments.network_detach(self.actor, instance_id, network, **asked))


class InstanceStorage(ApiView):
    @api("instances", "Its disks and mounts", response=s.AttachedStoragePage, query=LISTED)
    def get(self, request: Request, instance_id: str) -> HttpResponseBase:
        return listing_answer(self, attachments.storage_of(self.actor, instance_id))

    @api(
        "instances",
        "Attach storage, live: a volume that is there, or a new one; refused where the backend cannot",
        request=s.StorageAttachRequest,
        response=s.Accepted,
        status=202,
        errors=_ERRORS,
    )
    def post(self, request: Request, instance_id: str) -> HttpResponseBase:
        self.wait_seconds()
        body = self.body(s.StorageAttachRequest)
        operation = attachments.storage_attach(self.actor, instance_id, body)
        return self.answer_operation(operation, ends_as=201)


class InstanceStorageItem(ApiView):
    @api(
        "instances",
        "Detach storage, live; refused where the backend cannot",
        response=s.Accepted,
        status=202,
        query=("delete_storage",),
        errors=_ERRORS,
    )
    def delete(self, request: Request, instance_id: str, name: str) -> HttpResponseBase:
        self.wait_seconds()
        asked = self.query({"delete_storage": boolean})
        self.body()
        return self.answer_operation(attachments.storage_detach(self.actor, instance_id, name, **asked))
