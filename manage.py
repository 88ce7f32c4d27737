#!/usr/bin/env python
"""Django's command line, with the settings of ``LIBGO_VAR`` and libgo.yaml."""

import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "libgo_site.settings.prod")
    execute_from_command_line(sys.argv)
