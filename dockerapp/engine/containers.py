"""What only Docker can do with its containers, as one facet of the backend."""

from __future__ import annotations

from dockerapp.engine.client import EngineClient
from dockerapp.engine.exposure import Exposure, exposure_of


class Containers:
    """What one engine can do with containers beside the life cycle that all backends share. Every
    method takes engine ids and raises only ``ComputeError``."""

    def __init__(self, client: EngineClient) -> None:
        self._client = client

    def exposure(self, engine_id: str) -> Exposure:
        """What of the host it reaches. A question that is answered at once, or not at all."""
        return exposure_of(self._client.call(lambda api: api.inspect_container(engine_id), quick=True))
