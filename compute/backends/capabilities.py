"""What a backend may be able to do, and which methods prove that it can."""

from __future__ import annotations

from compute.states import Action, Word


class Capability(Word):
    PAUSE = "pause"
    KILL = "kill"
    RESET = "reset"
    SAVE = "save"
    RESIZE = "resize"
    RENAME = "rename"
    RECONFIGURE = "reconfigure"
    SNAPSHOT = "snapshot"
    VOLUME = "volume"
    NETWORK = "network"
    NETWORK_ATTACH = "network_attach"
    EXEC = "exec"
    TERMINAL = "terminal"
    ATTACH = "attach"
    CONSOLE = "console"
    GRAPHICS = "graphics"
    SCREENSHOT = "screenshot"
    LOGS = "logs"
    STATS = "stats"
    EVENTS = "events"
    FILES = "files"
    EXPORT = "export"
    IMPORT = "import"
    CLONE = "clone"
    MIGRATE = "migrate"
    IMAGE = "image"
    BACKUP = "backup"


# A backend declares a capability if and only if it overrides every method named here.
# A capability without a row cannot be declared yet: no method exists that could honour it.
CAPABILITY_METHODS: dict[Capability, tuple[str, ...]] = {
    Capability.PAUSE: ("instance_pause", "instance_unpause"),
    Capability.KILL: ("instance_kill",),
    Capability.RESET: ("instance_reset",),
    Capability.SAVE: ("instance_save", "instance_save_discard"),
    Capability.RESIZE: ("instance_resize",),
    Capability.RENAME: ("instance_rename",),
    Capability.RECONFIGURE: ("instance_reconfigure",),
    Capability.SNAPSHOT: ("snapshot_list", "snapshot_create", "snapshot_delete", "snapshot_restore"),
    Capability.CLONE: ("clone_config",),
    Capability.EXPORT: ("instance_export",),
    Capability.BACKUP: ("instance_backup", "backup_config", "instance_restore"),
    Capability.IMPORT: ("instance_import",),
    Capability.EXEC: ("exec_run",),
    Capability.TERMINAL: ("exec_open",),
    Capability.MIGRATE: ("migrate_plan", "instance_migrate", "migrate_settle"),
    Capability.ATTACH: ("attach_open",),
    Capability.CONSOLE: ("console_open",),
    Capability.GRAPHICS: ("graphics_open",),
    Capability.SCREENSHOT: ("screenshot",),
    Capability.LOGS: ("logs_read", "logs_follow"),
    Capability.STATS: ("usage_all",),
    Capability.EVENTS: ("events",),
    Capability.IMAGE: ("image_list", "demo_image_make"),
    Capability.NETWORK: ("network_list",),
    Capability.VOLUME: ("storage_attach", "storage_detach"),
    Capability.NETWORK_ATTACH: ("network_attach", "network_detach"),
    Capability.FILES: (
        "file_stat",
        "file_list",
        "file_read",
        "file_write",
        "file_remove",
        "file_rename",
        "folder_make",
        "tree_read",
        "tree_write",
    ),
}

# What an action on an instance needs; an action without a row needs only the core of a backend.
ACTION_CAPABILITIES: dict[Action, Capability] = {
    Action.PAUSE: Capability.PAUSE,
    Action.UNPAUSE: Capability.PAUSE,
    Action.KILL: Capability.KILL,
    Action.RESET: Capability.RESET,
    Action.SAVE: Capability.SAVE,
    Action.UPDATE: Capability.RESIZE,
    Action.MIGRATE: Capability.MIGRATE,
    Action.BACKUP: Capability.BACKUP,
}
