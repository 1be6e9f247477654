"""Milepost gives a long-running operation an address."""

__version__ = "0.1.0"
