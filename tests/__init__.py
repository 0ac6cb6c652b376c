"""Tests of the operator, and the lab they run in."""
