"""What a runtime image promises to those who build on it, tried in real containers."""

from rtbuild.contract.check import check_image, check_release
from rtbuild.contract.report import CheckResult, ContractReport, describe

__all__ = ["CheckResult", "ContractReport", "check_image", "check_release", "describe"]
