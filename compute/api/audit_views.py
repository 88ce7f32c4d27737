"""Who did what: pages of it, all of it as a stream, and whether its chain holds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

from django.db import close_old_connections
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from rest_framework.request import Request

from compute.actor import Actor
from compute.api import audit_shapes as shapes
from compute.api.base import PAGING, ApiView, Parse, text
from compute.api.log_views import FormatInView
from compute.api.schema import api
from compute.api.transfers import Download
from compute.audit import audit
from compute.audit_chain import audit_verify
from compute.errors import InvalidInput
from compute.selectors.access import action_require
from compute.selectors.audit import AuditFilter, audit_page, audit_pieces, audit_require

_FILTERS = ("user", "action", "target", "project", "result", "from", "to", "q", "sort")
_QUERY = (*_FILTERS, "page", "page_size", "format")
_MEDIA = {"csv": "text/csv; charset=utf-8", "jsonl": "application/x-ndjson"}
_FORMATS = ("json", *_MEDIA)


class Audit(ApiView):
    content_negotiation_class = FormatInView

    @api(
        "audit",
        "Who did what, newest first; all of it as CSV or JSON Lines",
        response=shapes.AuditPage,
        query=_QUERY,
        also={(200, "text/csv"): OpenApiTypes.STR, (200, "application/x-ndjson"): OpenApiTypes.STR},
    )
    def get(self, request: Request) -> HttpResponseBase:
        known: dict[str, Parse] = {name: text for name in _QUERY} | PAGING
        asked = self.query(known)
        kind = asked.pop("format", "") or self._preferred()
        if kind not in _FORMATS:
            raise InvalidInput.field("format", f"must be one of {', '.join(_FORMATS)}.")
        renamed = {{"from": "start", "to": "end"}.get(name, name): value for name, value in asked.items()}
        wanted = AuditFilter(**renamed)
        page = audit_page(self.actor, wanted)
        return self.answer_page(page) if kind == "json" else self._export(wanted, kind)

    def _preferred(self) -> str:
        accepted = self.request.headers.get("Accept", "").split(",")[0].split(";")[0].strip()
        return {"text/csv": "csv", "application/x-ndjson": "jsonl"}.get(accepted, "json")

    def _export(self, wanted: AuditFilter, kind: str) -> HttpResponseBase:
        actor = self.actor
        audit(actor, "audit.export", kind)

        name = f'attachment; filename="libgo-audit.{kind}"'
        headers = {"Content-Type": _MEDIA[kind], "Content-Disposition": name}
        return self.answer_download(Download(lambda: _stream(actor, wanted, kind)), headers, audit_require)


class AuditVerify(ApiView):
    @api(
        "audit",
        "Whether its chain of hashes holds, read now",
        response=shapes.AuditVerdict,
    )
    def get(self, request: Request) -> HttpResponseBase:
        self.query({})
        action_require(self.actor, "audit.verify")
        found = audit_verify()
        return self.answer({"holds": found.holds, **vars(found)})


async def _stream(actor: Actor, wanted: AuditFilter, kind: str) -> AsyncIterator[bytes]:
    pieces = audit_pieces(actor, wanted, kind)
    while piece := await asyncio.to_thread(_next, pieces):
        yield piece


def _next(pieces: Iterator[bytes]) -> bytes:
    close_old_connections()
    try:
        return next(pieces, b"")
    finally:
        close_old_connections()
