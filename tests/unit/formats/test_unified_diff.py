"""Unified diffs: what is understood, and that nothing else passes for one."""

from __future__ import annotations

import pytest

from rtbuild.formats.unified_diff import DiffError, FileDiff, Hunk, read_diff

FILE = "--- a/x.py\n+++ b/x.py\n"
HUNK = "@@ -1,2 +1,2 @@\n a\n-b\n+c\n"


def refusal(text: str | bytes) -> tuple[int, str]:
    """The line and the reason for which a diff is refused."""
    with pytest.raises(DiffError) as caught:
        read_diff(text.encode() if isinstance(text, str) else text)
    return caught.value.line, str(caught.value)


def test_a_hunk() -> None:
    assert read_diff(f"Why it is so.\n\n---\n{FILE}{HUNK}".encode()) == (
        FileDiff(
            path="x.py",
            hunks=(Hunk(start=0, new_start=0, before=(b"a\n", b"b\n"), after=(b"a\n", b"c\n"), line=6),),
            line=4,
        ),
    )


def test_hunks_that_only_add_or_only_take() -> None:
    (file,) = read_diff(f"{FILE}@@ -4,0 +5,2 @@ def f():\n+x\n+y\n@@ -9 +10,0 @@\n-z\n".encode())
    assert [(hunk.start, hunk.new_start, hunk.before, hunk.after) for hunk in file.hunks] == [
        (4, 4, (), (b"x\n", b"y\n")),
        (8, 10, (b"z\n",), ()),
    ]


def test_lines_that_look_like_headers_are_lines() -> None:
    text = f"{FILE}@@ -1,2 +1,2 @@\n--- a/y\n-+++ b/y\n+++ b/z\n+@@ -1 +1 @@\n"
    (file,) = read_diff(text.encode())
    assert file.hunks[0].before == (b"-- a/y\n", b"+++ b/y\n")
    assert file.hunks[0].after == (b"++ b/z\n", b"@@ -1 +1 @@\n")


def test_what_diff_says_of_a_folder() -> None:
    text = f"diff -ru a/x.py b/x.py\n{FILE}{HUNK}diff -ru a/y.py b/y.py\n--- a/y.py\n+++ b/y.py\n{HUNK}"
    assert [(file.path, file.line) for file in read_diff(text.encode())] == [("x.py", 1), ("y.py", 8)]


def test_a_last_line_without_an_end() -> None:
    text = f"{FILE}@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+a\n"
    (file,) = read_diff(text.encode())
    assert (file.hunks[0].before, file.hunks[0].after) == ((b"a",), (b"a\n",))


def test_carriage_returns_and_other_encodings_are_kept() -> None:
    (file,) = read_diff(FILE.encode() + b"@@ -1 +1 @@\n-\xe4\rb\r\n+\xf6\x0c\r\n")
    assert (file.hunks[0].before, file.hunks[0].after) == ((b"\xe4\rb\r\n",), (b"\xf6\x0c\r\n",))


def test_files_that_come_and_go_as_git_and_diff_say_it() -> None:
    text = (
        "--- a/old.py\t2023-04-20 15:33:40\n+++ /dev/null\t1970-01-01\n@@ -1 +0,0 @@\n-a\n"
        "diff --git a/new.sh b/new.sh\nnew file mode 100755\nindex 0000000..7898192\n"
        "--- /dev/null\n+++ b/new.sh\n@@ -0,0 +1 @@\n+a\n"
        "diff --git a/a b/__init__.py b/a b/__init__.py\nnew file mode 100644\nindex 0000000..e69de29\n"
        "diff --git a/empty b/empty\ndeleted file mode 100644\nindex e69de29..0000000\n"
    )
    found = [(one.path, one.created, one.deleted, one.executable, len(one.hunks)) for one in read_diff(text.encode())]
    assert found == [
        ("old.py", False, True, False, 1),
        ("new.sh", True, False, True, 1),
        ("a b/__init__.py", True, False, False, 0),
        ("empty", False, True, False, 0),
    ]


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("", 1, "no file is changed"),
        ("only words\n", 1, "no file is changed"),
        (FILE, 3, "no line of x.py is changed"),
        (FILE + HUNK[:-1], 6, "cut off"),
        (FILE + HUNK[:-3], 6, "0 old and 1 new lines of the hunk in line 3 are missing"),
        (f"{FILE}{HUNK}+d\n", 7, "neither a hunk nor a file; found '+d'"),
        (f"{FILE}{HUNK}@ -10,2 +10,2 @@\n a\n-b\n+c\n", 7, "neither a hunk nor a file"),
        (f"{FILE}{HUNK}what is this\n", 7, "neither a hunk nor a file"),
        (f"{FILE}{HUNK}-- \n2.39.5\n", 7, "neither a hunk nor a file"),
        (f"{FILE}{HUNK}{HUNK}", 7, "inside the one before"),
        (f"{FILE}{HUNK}@@ -9,2 +8,2 @@\n a\n-b\n+c\n", 7, "begins in line +9"),
        (f"{FILE}@@ -1,3 +1,2 @@\n a\n\n-b\n", 5, "an empty line begins with a blank"),
        (f"{FILE}@@ -1,2 +1,2 @@\n a\n b\n", 3, "changes nothing"),
        (f"{FILE}@@ -0,1 +0,1 @@\n-a\n+b\n", 3, "counted from 1"),
        (f"{FILE}@@ -1,1 +1,1 @@\n-a\n b\n", 3, "other lines than it says"),
        (f"{FILE}@@ -1,2 +1,2 @@\n-a\n\\ No newline\n+a\n b\n", 3, "other lines than it says"),
        (f"{FILE}@@ -1 +1 @@\n-a\n+a\n\\ No newline\n@@ -3 +3 @@\n-a\n+b\n", 7, "behind the end of x.py"),
        (f"@@ -1 +1 @@\n-a\n+b\n{FILE}{HUNK}", 1, "a hunk before the first file"),
        (f"+++ b/x.py\n{HUNK}", 1, "expected a line that begins with '--- '"),
        (f"--- a/x.py\n{HUNK}", 2, "expected a line that begins with '+++ '"),
        (f"--- x.py\n+++ x.py\n{HUNK}", 1, "expected a/PATH or /dev/null"),
        (f"--- a/x.py\n+++ b/y.py\n{HUNK}", 1, "no name, or two"),
        (f"--- /dev/null\n+++ /dev/null\n{HUNK}", 1, "no name, or two"),
        (f"--- /dev/null\n+++ b/x.py\n{HUNK}", 3, "not there on one side, and has lines on it"),
        (f"--- a/x.py\n+++ /dev/null\n{HUNK}", 3, "not there on one side, and has lines on it"),
        (f"--- a/../x.py\n+++ b/../x.py\n{HUNK}", 1, "not a plain path"),
        (f"--- a//x.py\n+++ b//x.py\n{HUNK}", 1, "not a plain path"),
        (f'--- a/"x.py"\n+++ b/"x.py"\n{HUNK}', 1, "not a plain path"),
        (f"{FILE}{HUNK}{FILE}{HUNK}", 7, "x.py is changed a second time"),
        (f"diff --git a/x.py b/y.py\n{FILE}{HUNK}", 1, "expected a/PATH b/PATH with one PATH"),
        (f"diff --git a/y.py b/y.py\n{FILE}{HUNK}", 1, "no name, or two"),
        (f"diff --git a/x.py b/x.py\nnew file mode 100644\n{FILE}{HUNK}", 1, "comes or goes in one line"),
        ("diff --git a/x b/x\nindex 1..2 100644\n", 1, "nothing is said of x"),
        ("diff --git a/x b/x\nold mode 100644\nnew mode 100755\n", 2, "changes the mode of a file"),
        ("diff --git a/x b/x\nnew file mode 120000\n", 2, "not a header of a file"),
        ("diff --git a/x b/y\nrename from x\nrename to y\n", 1, "expected a/PATH b/PATH"),
        ("diff --git a/x b/x\nsimilarity index 100%\n", 2, "renames or copies"),
        ("diff --git a/x b/x\nindex 1..2 100644\nGIT binary patch\n", 3, "not text"),
        ("diff --git a/x b/x\nindex 1..2 100644\nBinary files a/x and b/x differ\n", 3, "not text"),
        ("Binary files a/x and b/x differ\n", 1, "not text"),
        (f"Only in b: new.py\n{FILE}{HUNK}", 1, "names a file without its lines"),
        (f"{FILE}{HUNK}Only in b: new.py\n", 7, "names a file without its lines"),
        (f"{FILE}{HUNK}diff -ruN a/__init__.py b/__init__.py\n", 8, "expected a line that begins with '--- '"),
    ],
)
def test_what_is_no_diff(text: str, line: int, reason: str) -> None:
    found = refusal(text)
    assert found[0] == line, found
    assert reason in found[1]


def test_a_path_that_is_not_utf_8() -> None:
    assert refusal(b"--- a/\xe4\n+++ b/\xe4\n@@ -1 +1 @@\n-a\n+b\n") == (
        1,
        "the path is not UTF-8; found '--- a/\\\\xe4'",
    )
