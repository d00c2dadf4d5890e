"""Conversion of published weights; no part of the running product imports it."""
