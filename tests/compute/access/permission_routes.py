"""Which action each route of the API asks for: ``METHODS route action``. A route that is not here fails
``test_routes.py``; what stands here and is no route fails it, too.

A mark behind the action says what else the test must know: ``list`` answers everybody with what they may
see, ``host`` is about a thing of the host, ``new`` makes something in a project named by the body or query,
``mine`` makes something that is always the
caller's, ``own`` is about the caller, ``site`` is about no thing of a project, ``items`` decides for each
thing by itself, which tests of its own show.
"""

from __future__ import annotations

from dataclasses import dataclass

_TABLE = """
GET docker/containers instance.read list
POST docker/containers instance.create new
POST docker/containers/prune instance.prune new
GET docker/containers/<str:container_id> instance.read
DELETE docker/containers/<str:container_id> instance.delete
POST,PUT docker/containers/<str:container_id>/start instance.start
POST,PUT docker/containers/<str:container_id>/stop instance.stop
POST,PUT docker/containers/<str:container_id>/restart instance.restart
POST,PUT docker/containers/<str:container_id>/pause instance.pause
POST,PUT docker/containers/<str:container_id>/unpause instance.unpause
POST,PUT docker/containers/<str:container_id>/kill instance.kill
POST,PUT docker/containers/<str:container_id>/rename instance.update
POST,PUT docker/containers/<str:container_id>/update instance.update
POST,PUT docker/containers/<str:container_id>/recreate instance.recreate
POST,PUT docker/containers/<str:container_id>/wait instance.read
POST,PUT docker/containers/<str:container_id>/resize instance.exec
POST docker/containers/<str:container_id>/exec instance.exec
GET docker/containers/<str:container_id>/stats instance.read
GET docker/containers/<str:container_id>/top instance.processes
GET docker/containers/<str:container_id>/changes instance.changes
POST docker/containers/<str:container_id>/commit instance.commit
GET docker/containers/<str:container_id>/logs instance.logs
GET,PUT docker/containers/<str:container>/archive instance.files
GET,PUT,DELETE docker/containers/<str:container>/files instance.files
GET docker/containers/<str:container>/files/list instance.files
POST docker/containers/<str:container>/files/folders instance.files
POST docker/containers/<str:container>/files/rename instance.files
GET docker/networks network.read list
POST docker/networks network.create new
POST docker/networks/prune network.prune new
GET docker/networks/<str:network> network.read
DELETE docker/networks/<str:network> network.delete
POST docker/networks/<str:network>/connect instance.network
POST docker/networks/<str:network>/disconnect instance.network
GET docker/volumes volume.read list
POST docker/volumes volume.create new
POST docker/volumes/prune volume.prune new
GET docker/volumes/<str:name> volume.read
DELETE docker/volumes/<str:name> volume.delete
GET,PUT docker/volumes/<str:volume>/archive volume.content
GET,PUT,DELETE docker/volumes/<str:volume>/files volume.content
GET docker/volumes/<str:volume>/files/list volume.content
POST docker/volumes/<str:volume>/files/folders volume.content
POST docker/volumes/<str:volume>/files/rename volume.content
GET docker/stacks stack.read list
POST docker/stacks stack.create new
POST docker/stacks/validate stack.validate new
GET docker/stacks/<str:name> stack.read
PUT,PATCH docker/stacks/<str:name> stack.update
DELETE docker/stacks/<str:name> stack.delete
POST docker/stacks/<str:name>/validate stack.update
POST docker/stacks/<str:name>/redeploy stack.update
POST docker/stacks/<str:name>/scale stack.scale
GET docker/stacks/<str:name>/logs stack.logs
POST,PUT docker/stacks/<str:name>/pull stack.pull
POST,PUT docker/stacks/<str:name>/restart stack.restart
POST,PUT docker/stacks/<str:name>/start stack.start
POST,PUT docker/stacks/<str:name>/stop stack.stop
GET docker/system/info system.read site
GET docker/system/version system.read site
GET docker/system/df system.read site
POST docker/system/prune system.prune site
GET docker/images image.read list
POST docker/images/pull image.pull new
POST docker/images/push image.push new
POST docker/images/build image.build new
POST docker/images/load image.load site
POST docker/images/import image.import site
GET docker/images/save image.save new
GET docker/images/search image.read site
POST docker/images/prune image.prune site
GET docker/images/<path:image>/history image.read host
POST,PUT docker/images/<path:image>/tag image.tag new
GET docker/images/<path:image> image.read host
DELETE docker/images/<path:image> image.delete host
GET docker/registries registry.read list
POST docker/registries registry.create site
GET docker/registries/<str:registry> registry.read host
PUT,PATCH docker/registries/<str:registry> registry.update host
DELETE docker/registries/<str:registry> registry.delete host
POST docker/registries/<str:registry>/test registry.test host
POST compute/instances/import instance.create new
POST compute/instances/<str:instance_id>/export instance.export
GET exports export.read list
GET exports/<str:export_id> export.read
DELETE exports/<str:export_id> export.delete
GET exports/<str:export_id>/download export.download
GET vms/<str:name>/snapshots instance.read
POST vms/<str:name>/snapshots instance.snapshot
GET vms/<str:name>/snapshots/<str:snapshot> instance.read
DELETE vms/<str:name>/snapshots/<str:snapshot> instance.snapshot_delete
PUT vms/<str:name>/snapshots/<str:snapshot>/revert instance.restore
POST vms/<str:name>/export instance.export
POST kvm/vms/<str:instance_id>/migrate instance.migrate
POST kvm/vms/<str:instance_id>/migrate/check instance.migrate
PUT kvm/vms/<str:machine_id> instance.update
PUT kvm/vms/<str:machine_id>/autostart instance.update
POST,PUT kvm/vms/<str:machine_id>/save instance.save
DELETE kvm/vms/<str:machine_id>/save instance.save_discard
GET kvm/vms/<str:machine_id>/xml instance.definition
PUT kvm/vms/<str:machine_id>/xml instance.define
POST kvm/vms/<str:machine_id>/disks instance.devices
PUT,DELETE kvm/vms/<str:machine_id>/disks/<str:dev> instance.devices
POST kvm/vms/<str:machine_id>/nics instance.devices
PUT,DELETE kvm/vms/<str:machine_id>/nics/<str:dev> instance.devices
POST kvm/vms/<str:machine_id>/cdrom instance.devices
DELETE kvm/vms/<str:machine_id>/cdrom/<str:dev> instance.devices
GET kvm/vms/<str:machine_id>/screenshot instance.screen
GET kvm/vms/<str:machine_id>/cloud-init instance.seed_read
PUT kvm/vms/<str:machine_id>/cloud-init instance.cloud_init
GET kvm/vms/<str:machine_id>/guest instance.guest
GET,PUT kvm/vms/<str:machine_id>/guest/files instance.guest_files
GET networks network.read list
POST networks host_network.create site
GET networks/<str:network> network.read host
PUT,PATCH,DELETE networks/<str:network> host_network.change host
POST,PUT networks/<str:network>/start host_network.change host
POST,PUT networks/<str:network>/stop host_network.change host
GET networks/<str:network>/leases network.read host
GET storage/pool-types pool.read site
GET storage/pools pool.read list
POST storage/pools pool.create site
GET storage/pools/<str:pool> pool.read host
DELETE storage/pools/<str:pool> pool.change host
POST,PUT storage/pools/<str:pool>/start pool.change host
POST,PUT storage/pools/<str:pool>/refresh pool.change host
POST,PUT storage/pools/<str:pool>/stop pool.change host
GET storage/pools/<str:pool>/volumes volume.read list
POST storage/pools/<str:pool>/volumes volume.create new
GET storage/pools/<str:pool>/volumes/<str:volume> volume.read
DELETE storage/pools/<str:pool>/volumes/<str:volume> volume.delete
PUT storage/pools/<str:pool>/volumes/<str:volume>/resize volume.update
POST storage/pools/<str:pool>/volumes/<str:volume>/clone volume.clone new
POST storage/pools/<str:pool>/volumes/<str:volume>/wipe volume.wipe
POST storage/pools/<str:pool>/volumes/<str:volume>/upload volume.upload
GET storage/pools/<str:pool>/volumes/<str:volume>/download volume.content
GET kvm/images disk_image.read list
POST kvm/images disk_image.create new
GET kvm/images/uploads disk_image.create list
POST kvm/images/uploads disk_image.create new
GET,PATCH,DELETE kvm/images/uploads/<str:upload> disk_image.create upload
GET kvm/images/<path:image> disk_image.read
DELETE kvm/images/<path:image> disk_image.delete
GET vms instance.read list
POST vms instance.create mine
GET vms/<str:name> instance.read
DELETE vms/<str:name> instance.delete
PUT vms/<str:name>/start instance.start
PUT vms/<str:name>/stop instance.stop
PUT vms/<str:name>/restart instance.restart
POST auth/login auth.login public
POST auth/refresh auth.login public
POST auth/second-factor auth.login public
POST auth/logout profile.sessions own
POST auth/ws-ticket profile.sessions own
GET,PUT,PATCH profile profile.read own
PUT profile/password profile.password own
GET users user.read site
POST users user.create site
GET users/<str:user_id> user.read site
PUT,PATCH users/<str:user_id> user.update site
DELETE users/<str:user_id> user.delete site
DELETE users/<str:user_id>/second-factor user.update site
GET projects project.read list
POST projects project.create site
GET projects/<str:project_id> project.read
PUT,PATCH projects/<str:project_id> project.update
DELETE projects/<str:project_id> project.delete project
GET projects/<str:project_id>/limits project.read
PUT,PATCH projects/<str:project_id>/limits project.limits project
GET compute/limits site.read site
PUT,PATCH compute/limits site.limits site
GET users/<str:user_id>/limits user.read site
PUT,PATCH users/<str:user_id>/limits user.update site
GET compute/templates template.read list
POST compute/templates template.create new
GET compute/templates/<str:template_id> template.read
PUT,PATCH compute/templates/<str:template_id> template.update
DELETE compute/templates/<str:template_id> template.delete
POST compute/templates/<str:template_id>/instantiate template.use
GET projects/<str:project_id>/members project.read
POST projects/<str:project_id>/members project.member
DELETE projects/<str:project_id>/members/<str:user> project.member
GET compute/instances instance.read list
POST compute/instances instance.create new
GET compute/instances/name/<str:name> instance.read
GET compute/instances/<str:instance_id> instance.read
PUT,PATCH compute/instances/<str:instance_id> instance.update
DELETE compute/instances/<str:instance_id> instance.delete
PUT compute/instances/<str:instance_id>/resources instance.update
GET compute/instances/<str:instance_id>/snapshots instance.read
POST compute/instances/<str:instance_id>/snapshots instance.snapshot
GET compute/instances/<str:instance_id>/snapshots/<str:snapshot> instance.read
DELETE compute/instances/<str:instance_id>/snapshots/<str:snapshot> instance.snapshot_delete
POST,PUT compute/instances/<str:instance_id>/snapshots/<str:snapshot>/restore instance.restore
POST compute/instances/<str:instance_id>/clone instance.clone
POST compute/instances/<str:instance_id>/migrate instance.migrate
POST compute/instances/<str:instance_id>/migrate/check instance.migrate
POST compute/instances/<str:instance_id>/exec instance.exec
GET compute/instances/<str:instance_id>/usage instance.read
GET compute/instances/<str:instance_id>/events event.read
GET compute/instances/<str:instance_id>/logs instance.logs
GET compute/instances/<str:instance_id>/networks instance.read
POST compute/instances/<str:instance_id>/networks instance.network
DELETE compute/instances/<str:instance_id>/networks/<str:network> instance.network
GET compute/instances/<str:instance_id>/storage instance.read
POST compute/instances/<str:instance_id>/storage instance.storage
DELETE compute/instances/<str:instance_id>/storage/<path:name> instance.storage
POST,PUT compute/instances/<str:instance_id>/start instance.start
POST,PUT compute/instances/<str:instance_id>/stop instance.stop
POST,PUT compute/instances/<str:instance_id>/restart instance.restart
POST,PUT compute/instances/<str:instance_id>/pause instance.pause
POST,PUT compute/instances/<str:instance_id>/unpause instance.unpause
POST,PUT compute/instances/<str:instance_id>/kill instance.kill
POST,PUT compute/instances/<str:instance_id>/reset instance.reset
GET compute/cluster/status site.read site
GET compute/cluster/usage/history usage.read site
GET compute/instances/<str:instance_id>/usage/history usage.read
GET nodes/<str:node_id>/usage/history usage.read site
GET projects/<str:project_id>/usage/history project.read
GET compute/backends site.read site
GET compute/backends/<str:backend>/info site.read site
GET compute/health site.read site
GET operations operation.read list
GET operations/<str:operation_id> operation.read
DELETE operations/<str:operation_id> operation.cancel
GET operations/<str:operation_id>/log operation.read
GET operations/<str:operation_id>/wait operation.read
GET events event.read list
GET nodes node.read site
POST nodes node.create site
POST nodes/test node.test site
GET nodes/<str:node_id> node.read site
PUT,PATCH nodes/<str:node_id> node.update site
DELETE nodes/<str:node_id> node.delete site
POST nodes/<str:node_id>/test node.test site
PUT nodes/<str:node_id>/drain node.drain site
PUT nodes/<str:node_id>/resume node.drain site
GET,POST profile/tokens profile.tokens own
DELETE profile/tokens/<str:token_id> profile.tokens own
GET profile/sessions profile.sessions own
DELETE profile/sessions/<str:sign_in_id> profile.sessions own
GET profile/sign-ins profile.sessions own
GET,POST profile/views profile.update own
GET,DELETE profile/views/<int:view_id> profile.update own
GET,POST profile/second-factor profile.update own
POST profile/second-factor/off profile.update own
POST profile/second-factor/confirm profile.update own
GET profile/second-factor/picture profile.read own
POST profile/second-factor/recovery-codes profile.update own
POST compute/instances/bulk instance.update items
GET compute/schedules schedule.read list
POST compute/schedules schedule.create new
POST compute/schedules/preview profile.read own
GET compute/schedules/<str:schedule_id> schedule.read
PUT,PATCH compute/schedules/<str:schedule_id> schedule.update
DELETE compute/schedules/<str:schedule_id> schedule.delete
GET compute/schedules/<str:schedule_id>/runs schedule.read
POST compute/schedules/<str:schedule_id>/run schedule.run
PUT compute/schedules/<str:schedule_id>/pause schedule.update
PUT compute/schedules/<str:schedule_id>/resume schedule.update
GET alerts alert.read list
GET alerts/<str:alert_id> alert.read
POST alerts/<str:alert_id>/acknowledge alert.acknowledge
GET alerts/rules alert.read list
POST alerts/rules alert.create new
GET alerts/rules/<str:rule_id> alert.read
PUT,PATCH alerts/rules/<str:rule_id> alert.update
DELETE alerts/rules/<str:rule_id> alert.delete
PUT alerts/rules/<str:rule_id>/silence alert.update
GET alerts/channels alert.read list
POST alerts/channels channel.create site
GET alerts/channels/<str:channel_id> alert.read host
PUT,PATCH alerts/channels/<str:channel_id> channel.update site
DELETE alerts/channels/<str:channel_id> channel.delete site
POST alerts/channels/<str:channel_id>/test channel.test site
GET alerts/channels/<str:channel_id>/deliveries channel.test site
GET backups backup.read list
GET backups/<str:backup_id> backup.read
DELETE backups/<str:backup_id> backup.delete
POST backups/<str:backup_id>/verify backup.verify
POST backups/<str:backup_id>/restore backup.restore
GET compute/instances/<str:instance_id>/backups backup.read
POST compute/instances/<str:instance_id>/backups instance.backup
GET backups/targets backup_target.read list
POST backups/targets backup_target.create site
GET backups/targets/<str:target_id> backup_target.read site
PUT,PATCH backups/targets/<str:target_id> backup_target.update site
DELETE backups/targets/<str:target_id> backup_target.delete site
POST backups/targets/<str:target_id>/test backup_target.test site
GET audit audit.read items
GET audit/verify audit.verify site
POST compute/instances/adopt instance.adopt site
POST compute/instances/adopt/preview instance.adopt site
POST compute/instances/<str:instance_id>/adopt instance.adopt site
GET compute/adoption-rules adoption_rule.read site
POST compute/adoption-rules adoption_rule.create site
POST compute/adoption-rules/preview instance.adopt site
GET compute/adoption-rules/<str:rule_id> adoption_rule.read site
PUT,PATCH compute/adoption-rules/<str:rule_id> adoption_rule.update site
DELETE compute/adoption-rules/<str:rule_id> adoption_rule.delete site
POST compute/adoption-rules/<str:rule_id>/apply adoption_rule.apply site
"""


@dataclass(frozen=True)
class Route:
    method: str
    path: str
    action: str
    # "" is about one thing of a project, named in the path.
    kind: str = ""

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def routes() -> list[Route]:
    """One for each method of each route."""
    found = []
    for line in _TABLE.strip().splitlines():
        methods, path, action, *kind = line.split()
        found += [Route(method, path, action, *kind) for method in methods.split(",")]
    return found
