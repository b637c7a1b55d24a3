"""Which words of a Dockerfile make its steps a build's own."""

from __future__ import annotations

import pytest

from rtbuild.engine.steps import own_steps, printed


@pytest.mark.parametrize(
    ("step", "own"),
    [
        ("RUN true", "RUN --mount=type=secret,id=x1 true"),
        ('RUN --network=none ["true"]', 'RUN --mount=type=secret,id=x1 --network=none ["true"]'),
        (
            'RUN --mount=type=bind,source=w \\\n    # why\n    ["COPY", \\\n     "b"]',
            'RUN --mount=type=secret,id=x1 --mount=type=bind,source=w \\\n    # why\n    ["COPY", \\\n     "b"]',
        ),
        ("ADD root.tar /", "ADD x1* root.tar /"),
        ("  copy --from=build --link /out /in/", "  copy --from=build --link x1* /out /in/"),
        ("FROM scratch AS run", "FROM scratch AS run"),
        ("# RUN true", "# RUN true"),
        ("# COPY a \\\nRUN true", "# COPY a \\\nRUN --mount=type=secret,id=x1 true"),
        ("", ""),
        ("ENV RUN=1", "ENV RUN=1"),
    ],
)
def test_each_step_gets_the_name_and_nothing_else_changes(step: str, own: str) -> None:
    for before, after in (("", ""), ("FROM scratch\n", "\n"), ("FROM a\n\n", "\nUSER x\n")):
        assert own_steps(before + step + after, "x1") == before + own + after


@pytest.mark.parametrize("step", ["COPY a /b", 'ADD ["a", "/b/"]', "COPY --from=x a b"])
def test_a_copy_that_cannot_have_a_name_is_refused(step: str) -> None:
    with pytest.raises(ValueError, match="not a copy to a folder"):
        own_steps(f"FROM scratch\n{step}\n", "x1")


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("#7 1.234 Setting up libc6:amd64 (2.31-13+deb11u11) ...", "Setting up libc6:amd64 (2.31-13+deb11u11) ..."),
        ("#12 0.1 #5 0.2 indented", "#5 0.2 indented"),
        ("#7 1.234    ", ""),
        ("#7 1.234 ", ""),
        ("#7 [2/2] RUN dpkg", ""),
        ("#7 DONE 3.2s", ""),
        ("#7 exporting layers 1.2s done", ""),
        ("", ""),
    ],
)
def test_what_a_step_printed(line: str, text: str) -> None:
    assert printed(line) == text
