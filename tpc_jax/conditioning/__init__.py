"""Calibrated pictures, masks and poses become what a model reads."""
