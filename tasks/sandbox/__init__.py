"""Real hosts on this machine, for tests, for the demo and for a first look: light, rootless and full.

A kind of host is a module (`light`, `rootless`, `full`) with the functions of `model.Backend`. `api` holds the host's
lock, keeps its record and calls them; `python -m tasks.sandbox` is the same for a program to call.
"""
