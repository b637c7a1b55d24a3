"""Turn sdists into wheels; runs in a root with the target's Python, on its standard library and what it is given.

    python3.9 -s -S -B build_wheels.py WORK OUT

WORK/tasks.json is a list of {"name": <package>, "sdist": <name in WORK/files>, "filename": <its real name>, "epoch":
<seconds since 1970>, "build": [[<package>, <name in WORK/files>], ...], "backend": "module:object", "backend-path":
[<folder in the sdist>, ...]}. The wheel of each comes into OUT/<package>/. Every path, time, mode and variable that a
build could look at is the same each time.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import stat
import subprocess
import sys
import tarfile
import zipfile

HOME = "/rtbuild/build"


def main(work: str, out: str) -> None:
    os.umask(0o022)
    os.makedirs("/tmp", exist_ok=True)
    with open(os.path.join(work, "tasks.json"), encoding="utf-8") as stream:
        tasks = json.load(stream)
    for task in tasks:
        # Always the same folder: it is in what some backends write.
        shutil.rmtree(HOME, ignore_errors=True)
        command = [sys.executable, "-s", "-S", "-B", os.path.abspath(__file__), work, out, task["name"]]
        environment = {
            "HOME": os.path.join(HOME, "home"),
            "LC_ALL": "C.UTF-8",
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONHASHSEED": "0",
            "SOURCE_DATE_EPOCH": str(task["epoch"]),
            "TZ": "UTC",
        }
        status = subprocess.call(command, env=environment)
        if status:
            sys.exit(f"{task['filename']}: building its wheel ended with status {status}")
        print("ended", task["name"], flush=True)


def build(work: str, out: str, name: str) -> None:
    """Build one wheel in this process."""
    with open(os.path.join(work, "tasks.json"), encoding="utf-8") as stream:
        task = next(task for task in json.load(stream) if task["name"] == name)
    files = os.path.join(work, "files")
    os.umask(0o022)
    os.makedirs(os.path.join(HOME, "home"))
    tools = os.path.join(HOME, "tools")
    for _, wheel in task["build"]:
        unpack_wheel(os.path.join(files, wheel), tools)
    source = unpack_sdist(
        os.path.join(files, task["sdist"]), task["filename"], os.path.join(HOME, "source"), task["epoch"]
    )
    # Absolute, since backends change directory; without this script's own folder.
    sys.path[0] = tools
    # Processes that a backend starts see the same.
    os.environ["PYTHONPATH"] = tools
    os.chdir(source)
    target = os.path.join(out, name)
    os.makedirs(target)
    module, _, attribute = task["backend"].partition(":")
    for folder in reversed(task["backend-path"]):
        sys.path.insert(0, os.path.join(source, folder))
    sys.argv = ["setup.py"]
    backend = importlib.import_module(module)
    for part in attribute.split(".") if attribute else ():
        backend = getattr(backend, part)
    backend.build_wheel(target, {}, None)


def unpack_wheel(wheel: str, folder: str) -> None:
    """What a wheel's library part installs; build backends need no scripts."""
    with zipfile.ZipFile(wheel) as archive:
        for info in archive.infolist():
            parts = info.filename.split("/")
            if parts[0].endswith(".data") and parts[1:2] in (["purelib"], ["platlib"]):
                info.filename = "/".join(parts[2:])
            archive.extract(info, folder)


def unpack_sdist(sdist: str, filename: str, folder: str, epoch: int) -> str:
    """The sdist's files with one mode and one time; the path of the folder that it consists of."""
    os.makedirs(folder)
    if filename.endswith(".zip"):
        with zipfile.ZipFile(sdist) as archive:
            archive.extractall(folder)
    else:
        with tarfile.open(sdist) as archive:
            for member in archive.getmembers():
                if not inside(member.name):
                    sys.exit(f"{filename}: {member.name!r} is not a path inside an sdist")
                if member.issym() or member.islnk():
                    link = (
                        member.linkname
                        if member.islnk()
                        else os.path.join(os.path.dirname(member.name), member.linkname)
                    )
                    if not inside(link):
                        sys.exit(f"{filename}: {member.name!r} leads out of the sdist")
                elif not (member.isfile() or member.isdir()):
                    sys.exit(f"{filename}: {member.name!r} is neither a file nor a folder")
                member.uid = member.gid = 0
                member.uname = member.gname = ""
            archive.extractall(folder)
    for path, _, files in os.walk(folder, topdown=False):
        for name in files:
            file = os.path.join(path, name)
            if not os.path.islink(file):
                executable = os.stat(file).st_mode & stat.S_IXUSR
                os.chmod(file, 0o755 if executable else 0o644)
                os.utime(file, (epoch, epoch))
        os.chmod(path, 0o755)
        os.utime(path, (epoch, epoch))
    (top,) = os.listdir(folder)
    return os.path.join(folder, top)


def inside(path: str) -> bool:
    return not path.startswith("/") and ".." not in os.path.normpath(path).split("/")


if __name__ == "__main__":
    if len(sys.argv) == 4:
        build(*sys.argv[1:])
    else:
        main(*sys.argv[1:])
