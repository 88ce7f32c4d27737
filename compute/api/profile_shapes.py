"""What goes in and out of the routes of one's own way in."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers as s

from compute.api.serializers import Base, Paged
from compute.states import TOKEN_SCOPES


class TokenProjectShape(Base[Any]):
    id = s.UUIDField()
    name = s.CharField()


class ApiTokenShape(Base[Any]):
    id = s.UUIDField()
    name = s.CharField()
    prefix = s.CharField(help_text="The first part of the token, to tell it by.")
    scopes = s.ListField(child=s.CharField())
    projects = TokenProjectShape(many=True, allow_null=True)
    created_at = s.DateTimeField()
    expires_at = s.DateTimeField(allow_null=True)
    is_expired = s.BooleanField()
    last_used_at = s.DateTimeField(allow_null=True, help_text="To the minute.")
    last_address = s.CharField()


class ApiTokenPage(Paged):
    items = ApiTokenShape(many=True)


class ApiTokenMadeShape(ApiTokenShape):
    token = s.CharField(help_text="Shown this once.")


class ApiTokenRequest(Base[Any]):
    name = s.CharField(max_length=63)
    scopes = s.ListField(
        child=s.CharField(max_length=20),
        min_length=1,
        max_length=20,
        help_text=f"One or more of {', '.join(TOKEN_SCOPES)}.",
    )
    projects = s.ListField(
        child=s.CharField(max_length=63),
        required=False,
        max_length=50,
        help_text="Without them: all of one's own.",
    )
    expires_at = s.DateTimeField(required=False, help_text="Without it: as late as the site allows.")


class SignInShape(Base[Any]):
    id = s.UUIDField()
    kind = s.CharField(help_text="page or api")
    method = s.CharField()
    remote_address = s.CharField()
    user_agent = s.CharField()
    created_at = s.DateTimeField()
    last_used_at = s.DateTimeField()
    expires_at = s.DateTimeField()
    is_current = s.BooleanField()


class SignInPage(Paged):
    items = SignInShape(many=True)


class SignInTryShape(Base[Any]):
    at = s.DateTimeField()
    result = s.CharField(help_text="ok or refused")
    remote_address = s.CharField()
    method = s.CharField()
    kind = s.CharField()


class SignInTryPage(Paged):
    items = SignInTryShape(many=True)


class ChallengeRequest(Base[Any]):
    challenge = s.CharField(max_length=1000)
    code = s.CharField(max_length=64)


class SecondFactorShape(Base[Any]):
    is_enabled = s.BooleanField()
    method = s.CharField()
    recovery_codes_left = s.IntegerField()
    is_missing = s.BooleanField(help_text="The site asks for one; until then one is no administrator.")


class SecondFactorBeginRequest(Base[Any]):
    password = s.CharField(max_length=1000, required=False, trim_whitespace=False)


class SecondFactorSecretShape(Base[Any]):
    secret = s.CharField()
    uri = s.CharField(help_text="otpauth://")


class SecondFactorCodeRequest(Base[Any]):
    code = s.CharField(max_length=64)


class RecoveryCodesShape(Base[Any]):
    recovery_codes = s.ListField(child=s.CharField(), help_text="Shown this once; each works once.")
