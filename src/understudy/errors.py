"""The one exception that a user is meant to read."""


class UserError(Exception):
    """A mistake that the user can mend: the message is one line that names place and mend.

    The command line prints the message without a traceback and exits with 2. Anything else that
    escapes is a fault of ours and exits with 1.
    """
