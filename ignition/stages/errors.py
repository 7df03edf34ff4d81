"""What can go wrong when a config is applied, apart from the config itself (DocumentError).

ApplyError                  a person can act on it: message, hint
+-- EngineMissing           there is no Ignition on this machine
+-- EngineFailed            Ignition ran and gave up; carries what it logged
"""


class ApplyError(Exception):
    """A config was not applied. `hint` says what to do; it may be empty."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class EngineMissing(ApplyError):
    """There is no Ignition on this machine."""


class EngineFailed(ApplyError):
    """A stage of Ignition failed or took too long. `journal` is what it logged until then, one line each."""

    def __init__(self, message: str, *, hint: str = "", journal: tuple[str, ...] = ()) -> None:
        super().__init__(message, hint=hint)
        self.journal = journal
