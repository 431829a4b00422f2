"""Bytes to and from values, one module per wire protocol; no I/O, no clock."""
