"""One's own way in: personal tokens, sessions, the second factor."""

from __future__ import annotations

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from compute.api import profile_shapes as p
from compute.api import serializers as s
from compute.api.account_views import LISTED, listing_answer, pair_answer, visitor_of
from compute.api.base import ApiView
from compute.api.schema import api
from compute.errors import NotFound
from compute.services import second_factor, sign_in, sign_ins, tokens

_SECRET = {"Cache-Control": "no-store"}


class Tokens(ApiView):
    @api("profile", "One's personal tokens", response=p.ApiTokenPage, query=LISTED)
    def get(self, request: Request) -> HttpResponseBase:
        return listing_answer(self, tokens.tokens_list(self.actor))

    @api(
        "profile",
        "Make a personal token",
        request=p.ApiTokenRequest,
        response=p.ApiTokenMadeShape,
        status=201,
        errors=(409,),
    )
    def post(self, request: Request) -> HttpResponseBase:
        shape, token = tokens.token_create(self.actor, self.body(p.ApiTokenRequest))
        return Response({**shape, "token": token}, status=201, headers=_SECRET)


class TokenDetail(ApiView):
    @api("profile", "Revoke a personal token", status=204)
    def delete(self, request: Request, token_id: str) -> HttpResponseBase:
        tokens.token_revoke(self.actor, token_id)
        return Response(status=204)


class Sessions(ApiView):
    @api("profile", "One's sessions", response=p.SignInPage, query=LISTED)
    def get(self, request: Request) -> HttpResponseBase:
        return listing_answer(self, sign_ins.sign_ins_list(self.actor))


class SessionDetail(ApiView):
    @api("profile", "End one of one's sessions", status=204)
    def delete(self, request: Request, sign_in_id: str) -> HttpResponseBase:
        sign_ins.sign_in_end(self.actor, sign_in_id)
        return Response(status=204)


class SignInTries(ApiView):
    @api(
        "profile",
        "The last sign-ins, and tries",
        response=p.SignInTryPage,
        query=LISTED,
    )
    def get(self, request: Request) -> HttpResponseBase:
        return listing_answer(self, sign_ins.sign_ins_recent(self.actor))


class LoginFinish(ApiView):
    authentication_classes = ()
    permission_classes = (AllowAny,)

    @api(
        "auth",
        "The second step of logging in",
        request=p.ChallengeRequest,
        response=s.TokenPairShape,
        errors=(429,),
        public=True,
    )
    def post(self, request: Request) -> HttpResponseBase:
        given = self.body(p.ChallengeRequest)
        return pair_answer(sign_in.login_finish(given["challenge"], given["code"], visitor_of(request)))


class SecondFactor(ApiView):
    @api("profile", "One's second factor", response=p.SecondFactorShape)
    def get(self, request: Request) -> HttpResponseBase:
        self.query({})
        return self.answer(second_factor.factor_status(self.actor))

    @api(
        "profile",
        "Begin with a second factor",
        request=p.SecondFactorBeginRequest,
        response=p.SecondFactorSecretShape,
        status=201,
        errors=(409, 429),
    )
    def post(self, request: Request) -> HttpResponseBase:
        password = self.body(p.SecondFactorBeginRequest).get("password", "")
        return Response(second_factor.factor_begin(self.actor, password), status=201, headers=_SECRET)


class SecondFactorOff(ApiView):
    @api(
        "profile",
        "Switch one's second factor off",
        request=p.SecondFactorCodeRequest,
        status=204,
        errors=(409, 429),
    )
    def post(self, request: Request) -> HttpResponseBase:
        second_factor.factor_disable(self.actor, self.body(p.SecondFactorCodeRequest)["code"])
        return Response(status=204)


class SecondFactorConfirm(ApiView):
    @api(
        "profile",
        "Switch the second factor on, with its first code",
        request=p.SecondFactorCodeRequest,
        response=p.RecoveryCodesShape,
        errors=(409, 429),
    )
    def post(self, request: Request) -> HttpResponseBase:
        codes = second_factor.factor_confirm(self.actor, self.body(p.SecondFactorCodeRequest)["code"])
        return Response({"recovery_codes": codes}, headers=_SECRET)


class SecondFactorPicture(ApiView):
    @api(
        "profile",
        "The pending secret as a QR code",
        response=OpenApiTypes.BINARY,
        media="image/svg+xml",
    )
    def get(self, request: Request) -> HttpResponseBase:
        self.query({})
        picture = second_factor.factor_picture(self.actor)
        if picture is None:
            raise NotFound("No second factor waits for its first code.")
        return HttpResponse(picture, content_type="image/svg+xml", headers=_SECRET)


class RecoveryCodes(ApiView):
    @api(
        "profile",
        "New recovery codes",
        request=p.SecondFactorCodeRequest,
        response=p.RecoveryCodesShape,
        errors=(409, 429),
    )
    def post(self, request: Request) -> HttpResponseBase:
        codes = second_factor.recovery_renew(self.actor, self.body(p.SecondFactorCodeRequest)["code"])
        return Response({"recovery_codes": codes}, headers=_SECRET)


class UserSecondFactor(ApiView):
    @api("users", "Take away the second factor somebody lost", status=204, errors=(409,))
    def delete(self, request: Request, user_id: str) -> HttpResponseBase:
        second_factor.factor_reset(self.actor, user_id)
        return Response(status=204)
