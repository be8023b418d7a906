"""The one exception for what a user can put right: a single line that says what, where, what is allowed, what to do."""


class UserError(Exception):
    """A mistake in the command, the configuration, the data or the choice of model.

    Its text is one line, shown as it stands with no traceback; the process ends with exit status 2.
    """

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message, None))


def one_line(said: object, most: int | None = 200) -> str:
    """Give what an error says, or a text, in one line of so many characters at most; None: however many."""
    line = " ".join(str(said).split())
    return line if most is None or len(line) <= most else line[: most - 3] + "..."
