"""Columns and constraints; no I/O and no rules of the domain."""

from compute.models.access import IdempotencyKey, RefreshToken, User
from compute.models.adoption import AdoptionRule
from compute.models.alert import Alert, AlertChannel, AlertDelivery, AlertRule, AlertsSeen
from compute.models.audit import AuditEvent, AuditSeal, AuditTombstone
from compute.models.backup import Backup, BackupTarget
from compute.models.bulk import BulkItem
from compute.models.event import Event
from compute.models.instance import Instance, InstanceGone
from compute.models.limits import SiteLimits, UserLimits
from compute.models.node import Node
from compute.models.operation import Operation, OperationLog
from compute.models.project import Membership, Project
from compute.models.resource import Resource, ResourceLook
from compute.models.saved_view import ListColumns, SavedView
from compute.models.schedule import Schedule, ScheduleMade, ScheduleRun
from compute.models.session import OpenSession
from compute.models.signin import (
    ApiToken,
    DirectoryGrant,
    DirectoryIdentity,
    RecoveryCode,
    SecondFactor,
    SignIn,
)
from compute.models.template import Template, TemplateVersion
from compute.models.usage import Turn, UsageBlock

__all__ = [
    "AdoptionRule",
    "Alert",
    "AlertChannel",
    "AlertDelivery",
    "AlertRule",
    "AlertsSeen",
    "ApiToken",
    "AuditEvent",
    "AuditSeal",
    "AuditTombstone",
    "Backup",
    "BackupTarget",
    "BulkItem",
    "DirectoryGrant",
    "DirectoryIdentity",
    "Event",
    "IdempotencyKey",
    "Instance",
    "InstanceGone",
    "ListColumns",
    "Membership",
    "Node",
    "OpenSession",
    "Operation",
    "OperationLog",
    "Project",
    "RecoveryCode",
    "RefreshToken",
    "Resource",
    "ResourceLook",
    "SavedView",
    "Schedule",
    "ScheduleMade",
    "ScheduleRun",
    "SecondFactor",
    "SignIn",
    "Turn",
    "UsageBlock",
    "SiteLimits",
    "Template",
    "TemplateVersion",
    "User",
    "UserLimits",
]
