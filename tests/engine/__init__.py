"""Tests of the engine, on a real store, real files and real processes."""
