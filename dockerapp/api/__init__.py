"""``/api/v1/docker``: requests into service calls, rows into answers."""
