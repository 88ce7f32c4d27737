"""Labels by which the parts of a stack know each other: LibGo's own mark, and those of Compose."""

from __future__ import annotations

LABEL_STACK = "libgo.stack"
LABEL_COMPOSE = "com.docker.compose.project"
LABEL_SERVICE = "com.docker.compose.service"
LABEL_NUMBER = "com.docker.compose.container-number"
LABEL_DEPENDS = "com.docker.compose.depends_on"
