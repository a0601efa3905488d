"""What a database or a folder says of itself, for whoever looks after it."""

from pathlib import Path

from sqlalchemy import text

from imaging_fhir.storage.database import Database

NETWORK_FILE_SYSTEMS = ("nfs", "cifs", "smb", "9p", "ceph", "fuse.sshfs", "glusterfs", "afs")
MOUNTS = Path("/proc/self/mountinfo")


def weak_durability(database: Database) -> list[str]:
    """Settings under which a commit may be lost in a power cut; none when all is well."""
    wanted = {"synchronous": "1"} if database.is_sqlite else {"fsync": "on"}  # 1: see sync_log
    if not database.is_sqlite:
        wanted["synchronous_commit"] = "on"
    command = "PRAGMA" if database.is_sqlite else "SHOW"
    with database.read() as connection:
        found = {
            name: str(connection.execute(text(f"{command} {name}")).scalar_one()) for name in wanted
        }
    return [f"{name} = {value}" for name, value in found.items() if value != wanted[name]]


def file_system(folder: Path) -> str:
    """The kind of the file system that a folder is on (proc(5), mountinfo); empty if unknown."""
    if not MOUNTS.exists():
        return ""
    best, kind = Path("/"), ""
    for line in MOUNTS.read_text().splitlines():
        before, _, after = line.partition(" - ")
        mount = Path(before.split()[4].encode().decode("unicode_escape"))
        if folder.resolve().is_relative_to(mount) and mount.is_relative_to(best):
            best, kind = mount, after.split()[0]
    return kind


def is_on_network(folder: Path) -> bool:
    return file_system(folder).startswith(NETWORK_FILE_SYSTEMS)
