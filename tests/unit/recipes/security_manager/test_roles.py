"""The roles that a token can give."""

from __future__ import annotations

import pytest
from rtbuild_security_manager.roles import MANAGED_ROLES, roles_after, roles_of_claim


def test_all_of_airflows_own_roles_can_be_given() -> None:
    assert roles_of_claim(["Admin", "Op", "User", "Viewer", "Public"]) == MANAGED_ROLES


@pytest.mark.parametrize(
    ("current", "given", "expected"),
    [
        ([], {"Viewer"}, {"Viewer"}),
        (["Viewer"], {"Viewer"}, {"Viewer"}),
        (["Admin"], {"Viewer"}, {"Viewer"}),
        (["Viewer", "Finance"], {"Op", "User"}, {"Op", "User", "Finance"}),
        (["Finance", "Sales"], {"Public"}, {"Public", "Finance", "Sales"}),
        (["admin"], {"Viewer"}, {"Viewer", "admin"}),
    ],
)
def test_custom_roles_are_kept_and_all_others_follow_the_token(
    current: list[str], given: set[str], expected: set[str]
) -> None:
    assert roles_after(current, frozenset(given)) == expected
