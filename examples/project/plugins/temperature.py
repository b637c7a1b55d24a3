"""A macro for templates: {{ macros.temperature.fahrenheit(-40) }}."""

from __future__ import annotations

from typing import ClassVar

from airflow.plugins_manager import AirflowPlugin


def fahrenheit(celsius: float) -> float:
    return celsius * 9 / 5 + 32


class TemperaturePlugin(AirflowPlugin):
    name = "temperature"
    macros: ClassVar = [fahrenheit]
