"""`size`: from layers in the store to a tree, a JSON object and a page."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtbuild.derivations.plan import plan_release
from rtbuild.lockfile.model import Lock
from rtbuild.oci.layer import LayerWriter
from rtbuild.oci.layout import Layout
from rtbuild.store.realisation import Realisation
from rtbuild.store.store import Store
from rtbuild.workspace import Workspace
from tests.fakes.command_line import AMD64, Run, answer
from tests.fakes.layers import file

SIZE = ("size", "8.0", "--platform", "linux/amd64")
LIBRARY = "usr/local/lib/python3.9/dist-packages"
LAYERS = {
    "base-os": (
        file("usr/bin/apt", b"x" * 4_000),
        file("usr/share/untold", b"x" * 500),
        file("etc/config", b"x" * 100),
        file("var/lib/dpkg/info/apt.list", b"/usr/bin/apt\n/etc/config\n"),
        file("var/lib/dpkg/status", b"Package: apt\nVersion: 2.2.4\n"),
    ),
    "python": (file("etc/config", b"x" * 30), file("usr/bin/python3.9", b"x" * 9_000)),
    "airflow": (
        file(f"{LIBRARY}/airflow/__init__.py", b"x" * 20_000),
        file(f"{LIBRARY}/airflow/__pycache__/__init__.cpython-39.pyc", b"x" * 10_000),
        file(f"{LIBRARY}/apache_airflow-2.6.0.dist-info/RECORD", b"airflow/__init__.py,sha256=x,20000\n"),
    ),
    "providers": (file(f"{LIBRARY}/requests.py", b"x" * 1_000),),
}


def fill(workspace: Workspace, store: Store) -> dict[str, Realisation]:
    """Put layers of a kind into the store, as if they had been built."""
    made = {}
    layout = Layout.create(store.layout.root)
    for name, members in LAYERS.items():
        # planned anew each time: a key holds what the layer below gave
        plan = plan_release(workspace.release("8.0.0"), workspace.read_lock("8.0.0", AMD64), store)
        (layer,) = (one for one in plan.layers if one.name == name)
        assert layer.derivation is not None
        with LayerWriter(layout) as writer:
            for entry, content in members:
                writer.add(entry, content)
            digest = writer.finish()
        made[name] = Realisation(
            key=layer.derivation.key,
            release=plan.release,
            platform=plan.platform,
            layer=name,
            diff_id=digest.diff_id,
            size=digest.size,
            blob=digest.blob,
            blob_size=digest.blob_size,
            media_type=digest.media_type,
            compressor=digest.compressor,
            inputs=layer.derivation.inputs,
        )
        store.record(made[name])
    return made


def test_json_has_every_package_of_every_layer(run: Run, workspace: Workspace, lock: Lock, store: Store) -> None:
    made = fill(workspace, store)
    document = answer(run(*SIZE, "--json"))
    layers = {layer["name"]: layer for layer in document["layers"]}
    assert list(layers) == ["base-os", "python", "airflow", "providers"]
    for name, layer in layers.items():
        assert (layer["archive"], layer["compressed"]) == (made[name].size, made[name].blob_size)
        assert layer["size"] == sum(entry.size for entry, _ in LAYERS[name])
        assert layer["size"] == sum(package["size"] for package in layer["packages"])
    assert document["size"] == sum(layer["size"] for layer in layers.values())
    record = len(LAYERS["airflow"][2][1])
    assert layers["airflow"]["packages"] == [
        {
            "name": "apache-airflow",
            "version": "2.6.0",
            "kind": "python",
            "size": 30_000 + record,
            "compiled": 10_000,
            "files": 3,
        }
    ]
    apt, nobody = layers["base-os"]["packages"]
    assert (apt["name"], apt["version"], apt["kind"], apt["files"]) == ("apt", "2.2.4", "debian", 3)
    assert (nobody["name"], nobody["kind"], nobody["files"]) == ("", "none", 2)
    of_python = {package["name"]: package["size"] for package in layers["python"]["packages"]}
    assert of_python == {"": 9_000, "apt": 30}, "what a layer writes over belongs to whom it belonged below"


def test_the_tree_is_sorted_by_size(run: Run, workspace: Workspace, lock: Lock, store: Store) -> None:
    fill(workspace, store)
    result = run(*SIZE, "--top", "1")
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0].startswith("8.0.0 for linux/amd64  ")
    assert [line.split()[1] for line in lines if line[0] in "├└"] == ["airflow", "python", "base-os", "providers"]
    assert "30.0 kB of files" in lines[1]
    assert lines[2].split()[2:6] == ["apache-airflow", "2.6.0", "30.0", "kB"]
    assert [line.split()[2:] for line in lines if " 1 more " in line] == [
        ["1", "more", "30", "B", "0.1%"],
        ["1", "more", "528", "B", "1.2%"],
    ]


def test_all_packages_are_shown_on_request(run: Run, workspace: Workspace, lock: Lock, store: Store) -> None:
    fill(workspace, store)
    text = run(*SIZE, "--top", "0").stdout
    assert "more" not in text
    assert text.count("files of no package") == 3


def test_the_page_is_written(run: Run, workspace: Workspace, lock: Lock, store: Store, tmp_path: Path) -> None:
    fill(workspace, store)
    target = tmp_path / "size.html"
    assert run(*SIZE, "--html", str(target)).exit_code == 0
    assert "layer airflow" in target.read_text(encoding="utf-8")
    assert run(*SIZE, "--html", str(tmp_path / "missing" / "size.html")).exit_code == 1


def test_a_release_that_is_not_built(run: Run, lock: Lock) -> None:
    result = run(*SIZE)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "layer base-os" in result.stderr
    assert "hint: build it first: rtbuild build 8.0.0 --platform linux/amd64" in result.stderr


def test_a_damaged_layer_is_named(run: Run, workspace: Workspace, lock: Lock, store: Store) -> None:
    made = fill(workspace, store)
    path = store.layout.blob_path(made["airflow"].blob)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    result = run(*SIZE)
    assert result.exit_code == 1
    assert "error: layer airflow: " in result.stderr
    assert "rtbuild store verify" in result.stderr


def test_an_unknown_release(run: Run, lock: Lock) -> None:
    assert "unknown release '9.9'" in run("size", "9.9").stderr


def test_a_page_names_files_that_are_not_utf8(
    run: Run, workspace: Workspace, lock: Lock, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(LAYERS, "base-os", (*LAYERS["base-os"], file("usr/share/caf\udce9", b"x" * 70_000)))
    fill(workspace, store)
    result = run(*SIZE, "--html", str(tmp_path / "size.html"))
    assert (result.exit_code, result.stderr) == (0, "")
    assert r"caf\udce9" in (tmp_path / "size.html").read_text(encoding="utf-8")
