"""Routes of one's own way in."""

from __future__ import annotations

from django.urls import path

from compute.api import profile_views as v

urlpatterns = [
    path("auth/second-factor", v.LoginFinish.as_view()),
    path("profile/tokens", v.Tokens.as_view()),
    path("profile/tokens/<str:token_id>", v.TokenDetail.as_view()),
    path("profile/sessions", v.Sessions.as_view()),
    path("profile/sessions/<str:sign_in_id>", v.SessionDetail.as_view()),
    path("profile/sign-ins", v.SignInTries.as_view()),
    path("profile/second-factor", v.SecondFactor.as_view()),
    path("profile/second-factor/off", v.SecondFactorOff.as_view()),
    path("profile/second-factor/confirm", v.SecondFactorConfirm.as_view()),
    path("profile/second-factor/picture", v.SecondFactorPicture.as_view()),
    path("profile/second-factor/recovery-codes", v.RecoveryCodes.as_view()),
    path("users/<str:user_id>/second-factor", v.UserSecondFactor.as_view()),
]
