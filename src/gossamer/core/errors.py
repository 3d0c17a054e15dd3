"""The errors and warnings a user of gossamer may want to catch."""


class UnsupportedProblem(ValueError):
    """A solver was asked for a problem it cannot solve; the message says why and what to use."""


class ModelFileError(ValueError):
    """A file is not a gossamer model, is damaged, or was written by a newer version."""


class ConvergenceWarning(UserWarning):
    """A solver stopped before the certificate met the asked tolerance."""
