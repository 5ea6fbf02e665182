"""Devices, and the profile that names everything a latency depends on. One file per device."""
