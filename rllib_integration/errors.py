"""The base of every error that this library raises on purpose."""

from __future__ import annotations


class IntegrationError(Exception):
    """Something can't go on, and its message is a sentence for the user: what was given, what is allowed, what to do.

    Command lines print the message alone. Any other exception is a bug, here or in an experiment, and is shown with
    its traceback. Subclasses also derive from `ValueError` or `RuntimeError` where callers expect one of these.
    """
