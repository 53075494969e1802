"""Asking a teacher: the client, what travels over the wire, and the ledger of every call."""
