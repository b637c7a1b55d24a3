"""Rebuild, compare, report."""

from rtbuild.verify.report import VerifiedLayer, VerifyReport, describe
from rtbuild.verify.verify import verify

__all__ = ["VerifiedLayer", "VerifyReport", "describe", "verify"]
