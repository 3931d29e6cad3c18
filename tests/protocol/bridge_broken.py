"""A worker module that does not load."""

raise ImportError("this module is broken on purpose")
