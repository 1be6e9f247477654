"""Tests of the examples: each does its real job in a real engine, over a real store."""
