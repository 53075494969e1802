"""Talking to a student in a terminal, and handing it to a server."""
