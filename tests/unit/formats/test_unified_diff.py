"""Parsing unified diffs, and rejecting everything else."""

from __future__ import annotations

import pytest

from rtbuild.formats.unified_diff import DiffError, FileDiff, Hunk, read_diff

FILE = "--- a/x.py\n+++ b/x.py\n"
HUNK = "@@ -1,2 +1,2 @@\n a\n-b\n+c\n"


def error_of(text: str | bytes) -> tuple[int, str]:
    """Return the line and the text of the error that `text` causes."""
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


def test_hunks_that_only_add_or_only_remove() -> None:
    (file,) = read_diff(f"{FILE}@@ -4,0 +5,2 @@ def f():\n+x\n+y\n@@ -9 +10,0 @@\n-z\n".encode())
    assert [(hunk.start, hunk.new_start, hunk.before, hunk.after) for hunk in file.hunks] == [
        (4, 4, (), (b"x\n", b"y\n")),
        (8, 10, (b"z\n",), ()),
    ]


def test_changed_lines_may_look_like_headers() -> None:
    text = f"{FILE}@@ -1,2 +1,2 @@\n--- a/y\n-+++ b/y\n+++ b/z\n+@@ -1 +1 @@\n"
    (file,) = read_diff(text.encode())
    assert file.hunks[0].before == (b"-- a/y\n", b"+++ b/y\n")
    assert file.hunks[0].after == (b"++ b/z\n", b"@@ -1 +1 @@\n")


def test_reads_the_diff_of_a_folder() -> None:
    text = f"diff -ru a/x.py b/x.py\n{FILE}{HUNK}diff -ru a/y.py b/y.py\n--- a/y.py\n+++ b/y.py\n{HUNK}"
    assert [(file.path, file.line) for file in read_diff(text.encode())] == [("x.py", 1), ("y.py", 8)]


def test_a_last_line_without_a_line_break() -> None:
    text = f"{FILE}@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+a\n"
    (file,) = read_diff(text.encode())
    assert (file.hunks[0].before, file.hunks[0].after) == ((b"a",), (b"a\n",))


def test_keeps_carriage_returns_and_other_encodings() -> None:
    (file,) = read_diff(FILE.encode() + b"@@ -1 +1 @@\n-\xe4\rb\r\n+\xf6\x0c\r\n")
    assert (file.hunks[0].before, file.hunks[0].after) == ((b"\xe4\rb\r\n",), (b"\xf6\x0c\r\n",))


def test_reads_created_and_deleted_files_of_git_and_diff() -> None:
    text = (
        "--- a/old.py\t2023-04-20 15:33:40\n+++ /dev/null\t1970-01-01\n@@ -1 +0,0 @@\n-a\n"
        "diff --git a/new.sh b/new.sh\nnew file mode 100755\nindex 0000000..7898192\n"
        "--- /dev/null\n+++ b/new.sh\n@@ -0,0 +1 @@\n+a\n"
        "diff --git a/a b/__init__.py b/a b/__init__.py\nnew file mode 100644\nindex 0000000..e69de29\n"
        "diff --git a/empty b/empty\ndeleted file mode 100644\nindex e69de29..0000000\n"
    )
    files = read_diff(text.encode())
    assert [(file.path, file.created, file.deleted, file.executable, len(file.hunks)) for file in files] == [
        ("old.py", False, True, False, 1),
        ("new.sh", True, False, True, 1),
        ("a b/__init__.py", True, False, False, 0),
        ("empty", False, True, False, 0),
    ]


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("", 1, "the patch changes no file"),
        ("only words\n", 1, "the patch changes no file"),
        (FILE, 3, "no line of x.py is changed"),
        (FILE + HUNK[:-1], 6, "truncated"),
        (FILE + HUNK[:-3], 6, "0 old and 1 new lines of the hunk in line 3 are missing"),
        (f"{FILE}{HUNK}+d\n", 7, "neither a hunk nor a file; found '+d'"),
        (f"{FILE}{HUNK}@ -10,2 +10,2 @@\n a\n-b\n+c\n", 7, "neither a hunk nor a file"),
        (f"{FILE}{HUNK}what is this\n", 7, "neither a hunk nor a file"),
        (f"{FILE}{HUNK}-- \n2.39.5\n", 7, "neither a hunk nor a file"),
        (f"{FILE}{HUNK}{HUNK}", 7, "inside the previous hunk"),
        (f"{FILE}{HUNK}@@ -9,2 +8,2 @@\n a\n-b\n+c\n", 7, "should start in line +9"),
        (f"{FILE}@@ -1,3 +1,2 @@\n a\n\n-b\n", 5, "an empty line has to start with a space"),
        (f"{FILE}@@ -1,2 +1,2 @@\n a\n b\n", 3, "changes nothing"),
        (f"{FILE}@@ -0,1 +0,1 @@\n-a\n+b\n", 3, "line numbers start at 1"),
        (f"{FILE}@@ -1,1 +1,1 @@\n-a\n b\n", 3, "do not match its header"),
        (f"{FILE}@@ -1,2 +1,2 @@\n-a\n\\ No newline\n+a\n b\n", 3, "do not match its header"),
        (f"{FILE}@@ -1 +1 @@\n-a\n+a\n\\ No newline\n@@ -3 +3 @@\n-a\n+b\n", 7, "after the end of x.py"),
        (f"@@ -1 +1 @@\n-a\n+b\n{FILE}{HUNK}", 1, "a hunk before the first file"),
        (f"+++ b/x.py\n{HUNK}", 1, "expected a line that starts with '--- '"),
        (f"--- a/x.py\n{HUNK}", 2, "expected a line that starts with '+++ '"),
        (f"--- x.py\n+++ x.py\n{HUNK}", 1, "expected a/PATH or /dev/null"),
        (f"--- a/x.py\n+++ b/y.py\n{HUNK}", 1, "name no file, or different ones"),
        (f"--- /dev/null\n+++ /dev/null\n{HUNK}", 1, "name no file, or different ones"),
        (f"--- /dev/null\n+++ b/x.py\n{HUNK}", 3, "missing on one side but has lines there"),
        (f"--- a/x.py\n+++ /dev/null\n{HUNK}", 3, "missing on one side but has lines there"),
        (f"--- a/../x.py\n+++ b/../x.py\n{HUNK}", 1, "not a normalised relative path"),
        (f"--- a//x.py\n+++ b//x.py\n{HUNK}", 1, "not a normalised relative path"),
        (f'--- a/"x.py"\n+++ b/"x.py"\n{HUNK}', 1, "not a normalised relative path"),
        (f"{FILE}{HUNK}{FILE}{HUNK}", 7, "x.py is changed twice"),
        (f"diff --git a/x.py b/y.py\n{FILE}{HUNK}", 1, "expected a/PATH b/PATH with the same PATH"),
        (f"diff --git a/y.py b/y.py\n{FILE}{HUNK}", 1, "name no file, or different ones"),
        (
            f"diff --git a/x.py b/x.py\nnew file mode 100644\n{FILE}{HUNK}",
            1,
            "disagree on whether it is created or deleted",
        ),
        ("diff --git a/x b/x\nindex 1..2 100644\n", 1, "x is named without a change"),
        ("diff --git a/x b/x\nold mode 100644\nnew mode 100755\n", 2, "mode changes are not supported"),
        ("diff --git a/x b/x\nnew file mode 120000\n", 2, "not a file header"),
        ("diff --git a/x b/y\nrename from x\nrename to y\n", 1, "expected a/PATH b/PATH"),
        ("diff --git a/x b/x\nsimilarity index 100%\n", 2, "renames and copies are not supported"),
        ("diff --git a/x b/x\nindex 1..2 100644\nGIT binary patch\n", 3, "binary files are not supported"),
        (
            "diff --git a/x b/x\nindex 1..2 100644\nBinary files a/x and b/x differ\n",
            3,
            "binary files are not supported",
        ),
        ("Binary files a/x and b/x differ\n", 1, "binary files are not supported"),
        (f"Only in b: new.py\n{FILE}{HUNK}", 1, "the lines of a file are missing"),
        (f"{FILE}{HUNK}Only in b: new.py\n", 7, "the lines of a file are missing"),
        (f"{FILE}{HUNK}diff -ruN a/__init__.py b/__init__.py\n", 8, "expected a line that starts with '--- '"),
    ],
)
def test_rejects_what_is_not_a_diff(text: str, line: int, reason: str) -> None:
    number, message = error_of(text)
    assert number == line, message
    assert reason in message


def test_rejects_a_path_that_is_not_utf_8() -> None:
    assert error_of(b"--- a/\xe4\n+++ b/\xe4\n@@ -1 +1 @@\n-a\n+b\n") == (
        1,
        "the path is not UTF-8; found '--- a/\\\\xe4'",
    )
