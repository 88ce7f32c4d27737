"""One line per log record, with the id of the request it belongs to."""

from __future__ import annotations

import logging.config
from collections.abc import MutableMapping
from typing import Any

import structlog

_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def _one_line(logger: Any, name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """What others wrote cannot begin a record of its own or steer a terminal; JSON encodes it anyway. Each
    further line of a traceback, which may hold such words, begins with a bar as no record does."""
    event["event"] = _escaped(str(event.get("event", "")))
    if event.get("exception"):
        lines = str(event["exception"]).splitlines()
        event["exception"] = "\n".join(f"  | {_escaped(line)}" for line in lines)
    return event


def _escaped(text: str) -> str:
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text
    )


def logging_config(level: str, form: str) -> dict[str, Any]:
    """Set up logging at once and return the mapping. ``form`` is ``text`` or ``json``."""
    renderer: Any = structlog.processors.JSONRenderer()
    if form != "json":
        renderer = structlog.dev.ConsoleRenderer(colors=False)
    words = [] if form == "json" else [_one_line]
    config: dict[str, Any] = {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "line": {
                "()": structlog.stdlib.ProcessorFormatter,
                "processors": [
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    structlog.processors.format_exc_info,
                    *words,
                    renderer,
                ],
                "foreign_pre_chain": _SHARED,
            }
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            "django.request": {"level": "ERROR"},
            "uvicorn.access": {"level": "WARNING"},
            "celery.app.trace": {"level": "WARNING"},
            "celery.worker.strategy": {"level": "WARNING"},
            "celery.beat": {"level": "WARNING"},
            "aiodocker": {"level": "ERROR"},
            "urllib3": {"level": "ERROR"},
        },
    }
    logging.config.dictConfig(config)
    structlog.configure(
        processors=[*_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    return config
