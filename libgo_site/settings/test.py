"""The test run: its own state folder and broker, a quick password hash."""

import os
import tempfile

# The workers of a parallel run inherit the environment of the process that started them.
if "LIBGO_VAR" not in os.environ or "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["LIBGO_VAR"] = tempfile.mkdtemp(prefix="libgo-test-var-")
os.environ.setdefault("LIBGO_SECRET_KEY", "only-for-tests-and-long-enough-for-hs256")

from libgo_site.settings.base import *  # noqa: E402, F403
from libgo_site.settings.base import DATABASES, VAR_DIR  # noqa: E402

if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # Threads of a test share the database only if it is a file.
    DATABASES["default"]["TEST"] = {"NAME": VAR_DIR / "test.sqlite3"}

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# Each client of a test makes the middleware anew, and would index every static file again.
WHITENOISE_AUTOREFRESH = True
