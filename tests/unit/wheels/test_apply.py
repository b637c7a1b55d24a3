"""Applying patches: what real diffs of real files give, and what is said where one is not for the file there is."""

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
    """The files that a patch changes, as it leaves them."""
    changed = apply_patch(patch(text), files.get, target="demo 1.0")
    return {path: file.content for path, file in changed.items()}


def refusal(text: str | bytes, files: dict[str, bytes]) -> BuildError:
    with pytest.raises(BuildError) as caught:
        applied(text, files)
    assert "\n" not in caught.value.brief
    return caught.value


def test_every_hunk_is_applied() -> None:
    assert MEND.count("@@ -") == 2
    assert applied(MEND, {"n.txt": BEFORE.encode()}) == {"n.txt": AFTER.encode()}


def test_files_come_and_go() -> None:
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
def test_what_diff_writes_gives_what_it_was_made_from(
    before: list[bytes], after: list[bytes], ends: tuple[bool, bool], context: int
) -> None:
    """diffutils and this agree on every file, wherever its last line ends; and what is applied is known as such."""
    old, new = (
        b"\n".join(one) + (b"\n" if end and one else b"") for one, end in zip((before, after), ends, strict=True)
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
    # A change may fit a second time, such as one more line among equal ones; all others are known.
    assert fate(text, {"f": new}) in ("applies", "patch mend: upstream already contains it in demo 1.0")


def fate(text: bytes, files: dict[str, bytes]) -> str:
    """What becomes of a patch: `applies`, or why it does not."""
    try:
        applied(text, files)
    except BuildError as error:
        return error.brief
    return "applies"


def test_a_line_that_is_another_one() -> None:
    files = {"n.txt": BEFORE.replace("\n17\n", "\nxvii\n").encode()}
    error = refusal(MEND, files)
    assert error.brief == "patch mend does not apply to demo 1.0: n.txt line 17"
    assert error.details == (
        "line 17 should be '17\\n', and is 'xvii\\n'\n"
        f"the patch asks for it in line {MEND[: MEND.index('@@ -13')].count(chr(10)) + 1} of recipes/patches/mend.patch"
    )
    assert error.hint == "make the patch anew from the files of demo 1.0"


def test_lines_that_stand_elsewhere_are_pointed_at_and_not_taken() -> None:
    error = refusal(MEND, {"n.txt": f"0\n{BEFORE}".encode()})
    assert error.brief == "patch mend does not apply to demo 1.0: n.txt line 2"
    assert error.details is not None
    assert "the lines that this part of the patch asks for begin in line 3\n" in error.details


def test_a_file_that_ends_too_early() -> None:
    error = refusal(MEND, {"n.txt": BEFORE[: BEFORE.index("18")].encode()})
    assert error.brief == "patch mend does not apply to demo 1.0: n.txt line 18"
    assert error.details is not None
    assert "should be '18\\n', and is the end of the file, which has 17 lines" in error.details


def test_what_is_there_already() -> None:
    error = refusal(MEND, {"n.txt": AFTER.encode()})
    assert error.brief == "patch mend: upstream already contains it in demo 1.0"
    assert error.hint == "remove it from the release's patches"


def test_what_is_there_in_part() -> None:
    error = refusal(MEND, {"n.txt": BEFORE.replace("\n5\n", "\nfive\n").encode()})
    assert error.brief == "patch mend does not apply to demo 1.0: n.txt line 5"
    assert error.details is not None
    assert "what this part of the patch changes is changed already" in error.details


def test_files_that_are_there_already() -> None:
    text = diff("new", None, "a\n") + diff("old", "b\n", None)
    assert applied(text, {"old": b"b\n"}) == {"new": b"a\n", "old": None}
    assert "already contains it" in refusal(text, {"new": b"a\n"}).brief
    error = refusal(text, {"new": b"other\n", "old": b"b\n"})
    assert error.brief == "patch mend does not apply to demo 1.0: new"
    assert error.details is not None
    assert "the file is there already, and the patch creates it" in error.details


def test_a_file_that_is_not_there() -> None:
    error = refusal(MEND, {})
    assert error.brief == "patch mend does not apply to demo 1.0: n.txt"
    assert error.details is not None
    assert error.details.startswith("there is no such file\n")


def test_a_file_that_has_more_than_what_is_deleted() -> None:
    error = refusal(diff("old", "b\n", None), {"old": b"b\nc\n"})
    assert error.brief == "patch mend does not apply to demo 1.0: old line 2"


@pytest.mark.parametrize(
    ("hunk", "content"),
    [
        ("@@ -1,0 +2 @@\n+b\n", b"a"),  # behind a last line without an end
        ("@@ -1 +1 @@\n-a\n+b\n\\ No newline\n", b"a\nc\n"),  # one without an end before others
    ],
)
def test_lines_do_not_run_into_each_other(hunk: str, content: bytes) -> None:
    error = refusal(f"--- a/f\n+++ b/f\n{hunk}", {"f": content})
    assert error.details is not None
    assert "a line that has no end would get into the middle of the file" in error.details


def test_lines_behind_the_end() -> None:
    assert "is the end of the file" in str(refusal("--- a/f\n+++ b/f\n@@ -3,0 +4 @@\n+b\n", {"f": b"a\n"}).details)


def test_long_lines_and_bytes_that_are_no_text_are_shown_short() -> None:
    error = refusal("--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b\n", {"f": b"\xff" * 500 + b"\n"})
    assert error.details is not None
    assert "\\xff" in error.details
    assert len(error.details) < 400
