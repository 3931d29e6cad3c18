"""Kills, stops and outages, tried on real processes: `make faults`."""
