"""What only KVM keeps in the database: columns and constraints, no I/O and no rules."""

from kvm.models.exports import Export
from kvm.models.storage import ImageUpload, VolumeMark

__all__ = ["Export", "ImageUpload", "VolumeMark"]
