"""Applying patches: the results of real diffs, and the errors for diffs that do not match the file."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtbuild.errors import BuildError
from rtbuild.wheels.apply import PatchedFile, apply_patch
from tests.fakes.patches import diff, patch

BEFORE = "".join(f"{number}\n" for number in range(1, 21))
AFTER = BEFORE.replace("\n5\n", "\nfive\n").replace("\n16\n", "\n15 1/2\n16\n")
MEND = diff("n.txt", BEFORE, AFTER)


def applied(text: str | bytes, files: dict[str, bytes]) -> dict[str, bytes | None]:
    """Return the content of the files that a patch changes, after the patch."""
    changed = apply_patch(patch(text), files.get, target="demo 1.0")
    return {path: file.content for path, file in changed.items()}


def error_of(text: str | bytes, files: dict[str, bytes]) -> BuildError:
    with pytest.raises(BuildError) as caught:
        applied(text, files)
    assert "\n" not in caught.value.brief
    return caught.value


def test_every_hunk_is_applied() -> None:
    assert MEND.count("@@ -") == 2
    assert applied(MEND, {"n.txt": BEFORE.encode()}) == {"n.txt": AFTER.encode()}


def test_files_are_created_and_deleted() -> None:
    text = (
        "diff --git a/pkg/__init__.py b/pkg/__init__.py\nnew file mode 100644\nindex 0000000..e69de29\n"
        "diff --git a/run b/run\nnew file mode 100755\n--- /dev/null\n+++ b/run\n@@ -0,0 +1 @@\n+a\n\\ No newline\n"
        "diff --git a/blank b/blank\ndeleted file mode 100644\nindex e69de29..0000000\n"
        "diff --git a/old b/old\ndeleted file mode 100644\n--- a/old\n+++ /dev/null\n@@ -1,2 +0,0 @@\n-a\n-b\n"
    )
    assert apply_patch(patch(text), {"old": b"a\nb\n", "blank": b""}.get, target="demo 1.0") == {
        "pkg/__init__.py": PatchedFile(content=b""),
        "run": PatchedFile(content=b"a", executable=True),
        "blank": PatchedFile(content=None),
        "old": PatchedFile(content=None),
    }


LINES = st.lists(st.sampled_from([b"a", b"b", b"", b" ", b"-- a", b"+b\r", b"\xff\x0c", b"\\ c"]), max_size=12)


@given(before=LINES, after=LINES, ends=st.tuples(st.booleans(), st.booleans()), context=st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_the_output_of_diff_applies_exactly(
    before: list[bytes], after: list[bytes], ends: tuple[bool, bool], context: int
) -> None:
    """With any content and line endings; and a patch that was applied before is recognised."""
    old, new = (
        b"\n".join(lines) + (b"\n" if end and lines else b"") for lines, end in zip((before, after), ends, strict=True)
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for side, content in (("a", old), ("b", new)):
            (folder / side).mkdir()
            (folder / side / "f").write_bytes(content)
        command = ["diff", "--text", f"-U{context}", "a/f", "b/f"]
        text = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, check=False).stdout
    if old == new:
        assert text == b""
        return
    assert applied(text, {"f": old}) == {"f": new}
    # Some changes apply twice, such as one that adds a line among equal ones.
    assert outcome(text, {"f": new}) in ("applies", "patch mend: upstream already contains it in demo 1.0")


def outcome(text: bytes, files: dict[str, bytes]) -> str:
    """Return `applies`, or why the patch does not apply."""
    try:
        applied(text, files)
    except BuildError as error:
        return error.brief
    return "applies"


def test_a_different_line_is_named() -> None:
    files = {"n.txt": BEFORE.replace("\n17\n", "\nxvii\n").encode()}
    error = error_of(MEND, files)
    assert error.brief == "patch mend does not apply to demo 1.0: n.txt line 17"
    assert error.details == (
        "line 17: expected '17\\n', found 'xvii\\n'\n"
        f"expected by line {MEND[: MEND.index('@@ -13')].count(chr(10)) + 1} of recipes/patches/mend.patch"
    )
    assert error.hint == "regenerate the patch from the files of demo 1.0"


def test_lines_at_another_place_are_reported_but_not_used() -> None:
    error = error_of(MEND, {"n.txt": f"0\n{BEFORE}".encode()})
    assert error.brief == "patch mend does not apply to demo 1.0: n.txt line 2"
    assert error.details is not None
    assert "the lines that this hunk expects start at line 3\n" in error.details


def test_a_file_that_ends_too_early() -> None:
    error = error_of(MEND, {"n.txt": BEFORE[: BEFORE.index("18")].encode()})
    assert error.brief == "patch mend does not apply to demo 1.0: n.txt line 18"
    assert error.details is not None
    assert "expected '18\\n', found the end of the file (17 lines)" in error.details


def test_a_patch_that_the_file_already_contains() -> None:
    error = error_of(MEND, {"n.txt": AFTER.encode()})
    assert error.brief == "patch mend: upstream already contains it in demo 1.0"
    assert error.hint == "remove it from the release's patches"


def test_a_patch_that_the_file_contains_in_part() -> None:
    error = error_of(MEND, {"n.txt": BEFORE.replace("\n5\n", "\nfive\n").encode()})
    assert error.brief == "patch mend does not apply to demo 1.0: n.txt line 5"
    assert error.details is not None
    assert "the file already contains the change of this hunk" in error.details


def test_a_created_file_that_already_exists() -> None:
    text = diff("new", None, "a\n") + diff("old", "b\n", None)
    assert applied(text, {"old": b"b\n"}) == {"new": b"a\n", "old": None}
    assert "already contains it" in error_of(text, {"new": b"a\n"}).brief
    error = error_of(text, {"new": b"other\n", "old": b"b\n"})
    assert error.brief == "patch mend does not apply to demo 1.0: new"
    assert error.details is not None
    assert "the patch creates this file, but it already exists" in error.details


def test_a_missing_file() -> None:
    error = error_of(MEND, {})
    assert error.brief == "patch mend does not apply to demo 1.0: n.txt"
    assert error.details is not None
    assert error.details.startswith("there is no such file\n")


def test_a_deleted_file_with_more_lines_than_the_patch() -> None:
    error = error_of(diff("old", "b\n", None), {"old": b"b\nc\n"})
    assert error.brief == "patch mend does not apply to demo 1.0: old line 2"


@pytest.mark.parametrize(
    ("hunk", "content"),
    [
        ("@@ -1,0 +2 @@\n+b\n", b"a"),  # after a last line without a line ending
        ("@@ -1 +1 @@\n-a\n+b\n\\ No newline\n", b"a\nc\n"),  # a line without a line ending before others
    ],
)
def test_lines_are_never_joined(hunk: str, content: bytes) -> None:
    error = error_of(f"--- a/f\n+++ b/f\n{hunk}", {"f": content})
    assert error.details is not None
    assert "a line without a line ending would end up in the middle of the file" in error.details


def test_lines_after_the_end_of_the_file() -> None:
    assert "found the end of the file" in str(error_of("--- a/f\n+++ b/f\n@@ -3,0 +4 @@\n+b\n", {"f": b"a\n"}).details)


def test_long_lines_and_binary_content_are_abbreviated() -> None:
    error = error_of("--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b\n", {"f": b"\xff" * 500 + b"\n"})
    assert error.details is not None
    assert "\\xff" in error.details
    assert len(error.details) < 400
