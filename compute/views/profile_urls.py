"""The pages of one's own account."""

from __future__ import annotations

from django.urls import path

from compute.views import profile

urlpatterns = [
    path("profile", profile.profile, name="profile"),
    path("profile/email", profile.account_change, name="profile_email"),
    path("profile/password", profile.password_change, name="profile_password"),
    path("profile/tokens/new", profile.token_new, name="profile_token_new"),
    path("profile/tokens/<uuid:token_id>/revoke", profile.token_revoke, name="profile_token_revoke"),
    path("profile/sessions/<uuid:sign_in_id>/end", profile.session_end, name="profile_session_end"),
    path("profile/second-factor/begin", profile.factor_begin, name="profile_factor_begin"),
    path("profile/second-factor/confirm", profile.factor_confirm, name="profile_factor_confirm"),
    path("profile/second-factor/off", profile.factor_off, name="profile_factor_off"),
    path("profile/second-factor/codes", profile.recovery_renew, name="profile_recovery_renew"),
    path("profile/second-factor/picture.svg", profile.factor_picture, name="profile_factor_picture"),
]
