"""The one kind of error that is shown to a user."""


class LeNet5Error(Exception):
    """Something that the user can put right.

    The message says where, then what is there, then what was expected, then what to do if that is known:
    ``model.pkl: empty; expected a checkpoint``. It is raised where the problem is found; the command line prints it
    and exits with 1. File names and text from files may be put in it as they are: characters that could control a
    terminal are escaped.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


def printable(text: str) -> str:
    """Return a text with its unprintable characters escaped: control characters, unpaired surrogates."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
