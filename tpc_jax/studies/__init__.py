"""What the library is tried on: drawn people, data sets, training, and measurements."""
