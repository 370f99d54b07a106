"""The two ways in which a command of `aws_helper.py` fails."""

from __future__ import annotations


class AwsHelperError(RuntimeError):
    """Something that a person can mend; the message is a sentence that says how."""


class RemoteCommandError(AwsHelperError):
    """A command on an instance ended with a non-zero status.

    Attributes:
        status: Exit status of the remote command, which becomes that of `aws_helper.py`.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status
