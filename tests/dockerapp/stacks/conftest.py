"""A node on the machine's engine, and actors; compose files of the demo image."""

from __future__ import annotations

from tests.dockerapp.containers.conftest import admin, foreign, node, operator, project, row, stranger, viewer

__all__ = ["admin", "foreign", "node", "operator", "project", "row", "stranger", "viewer"]

# A network, a volume, a health check that another service waits for, limits, and a variable. A shell as the
# first process takes no notice of a request to end: each stop would last ten seconds.
THREE = """services:
  web:
    stop_signal: SIGKILL
    image: libgo/demo:${TAG:-latest}
    depends_on: {db: {condition: service_healthy}}
    environment: {GREETING: "${GREETING}"}
    volumes: ["data:/data"]
    deploy: {replicas: 2, resources: {limits: {cpus: "0.2", memory: 32M}}}
    labels: {libgo.test: "%(run)s"}
    networks: [back]
  db:
    stop_signal: SIGKILL
    image: libgo/demo:latest
    healthcheck: {test: "%(test)s", interval: 1s, retries: 60}
    labels: {libgo.test: "%(run)s"}
    networks: [back]
  side:
    stop_signal: SIGKILL
    image: libgo/demo:latest
    command: %(command)s
    labels: {libgo.test: "%(run)s"}
    networks: [back]
networks: {back: {labels: {libgo.test: "%(run)s"}}}
volumes: {data: {labels: {libgo.test: "%(run)s"}}}
"""
DEMO_COMMAND = '["/bin/sh", "-c", "echo side is up; exec sleep 3600"]'


def three(run_id: str, *, test: str = "true", command: str = DEMO_COMMAND) -> str:
    return THREE % {"run": run_id, "test": test, "command": command}
