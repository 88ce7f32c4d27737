"""Write the cloud-init seed of a machine anew."""

from __future__ import annotations

from typing import Any

from compute.execution.handlers import Handler, Work
from compute.sealing import unseal
from kvm.handlers.common import kvm


def _cloud_init(work: Work) -> dict[str, Any]:
    work.report.progress(30, "Writing the cloud-init seed")
    is_on = kvm(work).seed_put(work.engine_id, unseal(work.operation.params["sealed"]), work.report)
    return {"waits_for_start": is_on}


HANDLERS: dict[str, Handler] = {"instance.cloud_init": _cloud_init}
