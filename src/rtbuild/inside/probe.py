"""Runs in the image, whatever the age of its Python: what a program there sees, as JSON on standard output."""

import getpass
import grp
import json
import os
import pwd
import shutil
import stat
import sys
import tempfile

PROGRAMS = ("bash", "python", "python3", "pip", "airflow", "pytest", "curl", "nc", "tini", "git")
FOLDERS = ("", "dags", "plugins", "include", "tests", "logs")


def main():
    home = os.environ.get("AIRFLOW_HOME", "")
    print(
        json.dumps(
            {
                "uid": os.getuid(),
                "gid": os.getgid(),
                "account": account(),
                "group": group("astro"),
                "user": user(),
                "home": os.environ.get("HOME"),
                "folder": os.getcwd(),
                "umask": os.umask(0),
                "path": os.environ.get("PATH", "").split(":"),
                "import_path": [os.path.realpath(one) for one in sys.path if one],
                "programs": {name: shutil.which(name) for name in PROGRAMS},
                "folders": {name: folder(os.path.join(home, name)) for name in FOLDERS},
                "home_folder": folder(os.environ.get("HOME", "")),
                "first_process": first_process(),
            }
        )
    )


def account():
    try:
        entry = pwd.getpwuid(os.getuid())
    except KeyError:
        return None
    return {"name": entry.pw_name, "gid": entry.pw_gid, "home": entry.pw_dir}


def group(name):
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return None


def user():
    try:
        return getpass.getuser()
    except Exception as error:
        return "nobody: %r" % error


def folder(path):
    try:
        found = os.stat(path)
    except OSError:
        return None
    return {
        "uid": found.st_uid,
        "gid": found.st_gid,
        "mode": "%04o" % stat.S_IMODE(found.st_mode),
        "writable": writable(path),
    }


def writable(path):
    try:
        with tempfile.NamedTemporaryFile(dir=path):
            return True
    except OSError:
        return False


def first_process():
    with open("/proc/1/cmdline", "rb") as file:
        return file.read().decode("utf-8", "replace").split("\0")[:2]


main()
