"""The errors that are shown to a user, and how their messages are worded."""


class LeNet5Error(Exception):
    """Something that the user can put right.

    The message says where, then what is there, then what was expected, then what to do if that is known:
    ``model.pkl: empty; expected a checkpoint``. It is raised where the problem is found; the command line prints it
    and exits with 1. File names and text from files may be put in it as they are: characters that could control a
    terminal are escaped.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class MissingError(LeNet5Error, ImportError):
    """A library cannot be imported; also an ImportError, as for any missing library."""


def missing(library: str, error: ImportError, extra: str, *, instead: str = "") -> MissingError:
    """Return the error for an optional library that cannot be imported: why, and which extra installs it.

    Args:
        library: its name, which may say what needs it: ``Optuna, which a search needs,``.
        error: what importing it raised.
        extra: the extra of lenet5-cli that installs it.
        instead: what can be done without it, if anything.
    """
    hint = f"pip install 'lenet5-cli[{extra}]'" + (f" or {instead}" if instead else "")
    return MissingError(f"{library} cannot be imported: {error}; {hint}")


def printable(text: str) -> str:
    """Return a text with its unprintable characters escaped: control characters, unpaired surrogates."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def counted(count: int, noun: str) -> str:
    """Return a count with its noun: ``1 image``, ``2,000 classes``."""
    return f"{count:,} {noun}{'' if count == 1 else 'es' if noun.endswith('s') else 's'}"
