"""Which action each page and fragment asks for: ``METHODS name action``. A page that is not here fails
``test_pages.py``; what stands here and is no page fails it, too.

``name:word`` stands for a route whose last word chooses what is done (``instance_action:start``). The marks
are those of ``permission_routes``; besides, ``somewhere`` is open to who may do the action in some project.
A dialog's GET asks only whether one may see the thing it is about: what it sends is asked for by its POST.
"""

from __future__ import annotations

from dataclasses import dataclass

_TABLE = """
GET login,login_oidc,login_oidc_back,logged_out,words,static_moved auth.login public
POST login,logout,language auth.login public
GET health,liveness,readiness,metrics,favicon site.health public
GET schema,api_docs site.docs public
GET dashboard,palette,told,limits_room,network_map,tasks,task_line,operations site.read list
GET instances,instance_new instance.read list
POST instance_new instance.create new
GET instance,instance_tab:configuration,instance_tab:logs instance.read
GET instance_migrate,instance_backups,backup_new instance.read
POST instance_action:start instance.start
POST instance_action:stop instance.stop
GET instance_remove instance.read
POST instance_remove instance.delete
POST instance_rename,instance_limits instance.update
POST instance_migrate,instance_migrate_check instance.migrate
GET instance_picture instance.screen
POST backup_new instance.backup
GET operation operation.read
POST operation_cancel operation.cancel
GET nodes,node node.read site
GET,POST node_new node.create site
GET,POST node_edit,limits_node node.update site
GET,POST node_remove node.delete site
POST node_action:test node.test site
POST node_action:drain,node_action:resume node.drain site
POST node_action:enable,node_action:disable node.update site
GET alerts,alert_rules,alert_channels,alerts_bell alert.read list
POST alerts_seen profile.update own
POST alert_acknowledge alert.acknowledge
GET alert_rule_new alert.read list
POST alert_rule_new alert.create new
GET,POST alert_rule alert.update
GET alert_rule_remove alert.read
POST alert_rule_remove alert.delete
POST alert_rule_silence alert.update
GET,POST alert_channel_new,alert_channel channel.update site
GET,POST alert_channel_remove channel.delete site
POST alert_channel_test channel.test site
GET alert_channel_log channel.test site
GET audit audit.read somewhere
GET audit_state audit.verify site
GET events event.read list
GET backups backup.read list
GET,POST adopt instance.adopt site
GET adopt_rules adoption_rule.read site
GET,POST adopt_rule_new,adopt_rule adoption_rule.update site
POST adopt_rule_look instance.adopt site
POST adopt_rule_do:apply adoption_rule.apply site
POST adopt_rule_do:delete adoption_rule.delete site
GET backup_targets backup_target.read list
GET,POST backup_target_new,backup_target backup_target.update site
GET,POST backup_target_remove backup_target.delete site
POST backup_target_test backup_target.test site
GET backup,backup_restore,backup_delete backup.read
POST backup_restore backup.restore
POST backup_verify backup.verify
POST backup_delete backup.delete
GET,POST limits_site site.limits site
GET limits site.limits site
GET,POST limits_project project.limits project
GET,POST limits_user user.update site
GET projects project.read list
POST projects project.create site
GET project project.read
POST project_change:edit project.update
POST project_change:member,project_change:leave project.member
POST project_change:delete project.delete project
GET users user.read site
POST users user.create site
GET user user.read site
POST user_change:edit,user_change:password,user_change:disable,user_change:enable user.update site
POST user_change:delete user.delete site
GET profile profile.read own
POST instance_view_save,instance_view_remove,instance_columns profile.update own
POST profile_email profile.update own
POST profile_password profile.password own
POST profile_token_new,profile_token_revoke profile.tokens own
POST profile_session_end profile.sessions own
POST profile_factor_begin,profile_factor_confirm,profile_factor_off,profile_recovery_renew profile.update own
GET profile_factor_picture profile.read own
GET schedules,schedule_new schedule.read list
POST schedule_new schedule.create new
POST schedule_look profile.read own
GET schedule,schedule_edit schedule.read
POST schedule_edit schedule.update
POST schedule_action:run schedule.run
POST schedule_action:pause,schedule_action:resume schedule.update
POST schedule_action:delete schedule.delete
GET templates,template_new template.read list
POST template_new template.create new
GET template template.read
POST template_use template.use
GET,POST template_edit template.update
POST template_remove template.delete
GET docker_images,docker_image_pull,docker_image_build,docker_image_load,docker_image_prune image.read list
POST docker_image_pull image.pull new
POST docker_image_build image.build new
POST docker_image_prune image.prune site
GET docker_image_prune_look,docker_image_progress,docker_stack_of operation.read
GET docker_image,docker_image_push,docker_image_tag,docker_image_remove image.read host
POST docker_image_push image.push new
POST docker_image_tag image.tag new
POST docker_image_remove image.delete host
GET docker_registries registry.read list
GET,POST docker_registry_new,docker_registry registry.update site
GET docker_registry_remove registry.read site
POST docker_registry_remove registry.delete site
POST docker_registry_test registry.test site
GET docker_registry_test_look registry.test site
GET docker_stacks,docker_stack_new stack.read list
POST docker_stack_new stack.create new
POST docker_stack_check stack.validate new
GET docker_stack,docker_stack_tab:services,docker_stack_outside,docker_stack_outside_tab:services stack.read
POST docker_stack_diff stack.update
POST docker_stack_action:start,docker_stack_outside_action:start stack.start
POST docker_stack_action:stop stack.stop
POST docker_stack_action:restart stack.restart
POST docker_stack_action:pull stack.pull
POST docker_stack_action:scale stack.scale
POST docker_stack_action:redeploy,docker_stack_action:change stack.update
POST docker_stack_action:remove stack.delete
GET docker_networks,docker_network_new network.read list
POST docker_network_new network.create new
GET,POST docker_network_prune network.prune new
GET docker_network,docker_network_remove,docker_network_join network.read
POST docker_network_remove network.delete
POST docker_network_join,docker_network_leave instance.network
GET container_networks instance.read
POST container_join,container_leave instance.network
GET container_files instance.files
GET container_processes instance.processes
GET container_changes instance.changes
POST container_commit instance.commit
GET,POST container_edit instance.recreate
GET docker_volumes,docker_volume_new volume.read list
POST docker_volume_new volume.create new
GET,POST docker_volume_prune volume.prune new
GET docker_volume,docker_volume_restore,docker_volume_remove volume.read
GET docker_volume_files volume.content
POST docker_volume_remove volume.delete
GET docker_node_system system.read site
GET,POST docker_node_prune system.prune site
GET machine_snapshots instance.read
GET,POST machine_snapshot_new instance.snapshot
GET,POST machine_snapshot_restore instance.restore
GET,POST machine_snapshot_delete instance.snapshot_delete
GET machine_clone,machine_export,machine_hardware,machine_dialog:disk-new instance.read
POST machine_clone instance.clone
POST machine_export instance.export
GET kvm_import instance.read list
GET kvm_exports export.read list
GET kvm_export_delete export.read
POST kvm_export_delete export.delete
GET machine_guest instance.guest
GET machine_cloud_init instance.seed_read
POST machine_cloud_init instance.cloud_init
POST machine_dialog:disk-new,machine_dialog:nic-new,machine_unplug:disk instance.devices
POST machine_dialog:about instance.update
POST machine_memory instance.save
GET machine_xml instance.definition
POST machine_xml_change instance.define
GET kvm_networks network.read list
GET,POST kvm_network_new host_network.create site
GET kvm_network,kvm_network_leases,kvm_network_edit,kvm_network_host network.read host
GET kvm_network_act:stop network.read host
POST kvm_network_edit,kvm_network_host,kvm_network_host_remove host_network.change host
POST kvm_network_act:start,kvm_network_act:stop,kvm_network_act:delete host_network.change host
GET kvm_storage pool.read list
GET,POST kvm_pool_new pool.create site
GET kvm_pool,kvm_pool_start,kvm_pool_stop,kvm_pool_refresh,kvm_pool_delete pool.read host
POST kvm_pool_start,kvm_pool_stop,kvm_pool_refresh,kvm_pool_delete pool.change host
GET kvm_volume_new pool.read host
POST kvm_volume_new volume.create new
GET kvm_volume_resize,kvm_volume_wipe,kvm_volume_delete,kvm_volume_clone,kvm_volume_upload volume.read
POST kvm_volume_resize volume.update
POST kvm_volume_wipe volume.wipe
POST kvm_volume_delete volume.delete
POST kvm_volume_clone volume.clone new
GET kvm_images,kvm_image_upload,kvm_image_new disk_image.read list
POST kvm_image_new disk_image.create new
GET kvm_image_remove disk_image.read
POST kvm_image_remove disk_image.delete
"""


@dataclass(frozen=True)
class Page:
    method: str
    name: str
    word: str
    action: str
    kind: str = ""

    def __str__(self) -> str:
        return f"{self.method} {self.name}{':' if self.word else ''}{self.word}"


def pages() -> list[Page]:
    """One for each method of each page."""
    found = []
    for line in _TABLE.strip().splitlines():
        methods, names, action, *kind = line.split()
        for method in methods.split(","):
            for each in names.split(","):
                name, _, word = each.partition(":")
                found.append(Page(method, name, word, action, *kind))
    return found
