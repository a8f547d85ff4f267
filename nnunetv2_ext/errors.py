"""The errors a user can cause. Every message says what was got, what is needed and what to do.

::

    ExtensionError            also a SystemExit
    ├── UnknownTrainerError   a trainer name that no preset and suffix make; also a ValueError
    ├── PresetError           a preset of the user's that can't be used; also a ValueError
    ├── CombinationError      suffixes of a trainer's name that contradict each other; also a ValueError
    ├── PlanError             a plan that a network can't be built from; also a ValueError
    ├── InputSizeError        an input that a network can't process; also a ValueError
    ├── CheckpointError       a checkpoint that is corrupt or of another network; also a RuntimeError
    ├── RunExistsError        a training folder that already holds a run; also a RuntimeError
    ├── DiskError             a disk that is full or can't be written to; also a RuntimeError
    ├── NonFiniteError        a training whose loss is NaN or infinite; also an ArithmeticError
    ├── DatasetError          a dataset that lacks what is needed, or already has it; also a RuntimeError
    ├── ExportError           a trained model that can't be exported; also a ValueError
    ├── PredictionError       an exported model, or images, that can't be predicted with; also a ValueError
    ├── ComparisonError       runs that can't be compared fairly; also a ValueError
    └── UnsafeFileError       a model file that is damaged or made to do harm; also a ValueError

They derive from ``SystemExit`` because most of them are raised inside nnU-Net's commands, which catch nothing: Python then
prints the sentence alone and exits with status 1, instead of a stack trace from the depths. In code they are caught like
any other exception, since each also derives from an ordinary one.
"""


def printable(text: str) -> str:
    """Text from somebody's file as one line, in which nothing can move the cursor or hide what is printed before and after."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


class ExtensionError(Exception, SystemExit):
    """Base of everything this package raises because of what a user asked for or provided."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.code = message


class UnknownTrainerError(ExtensionError, ValueError):
    """A trainer name that no preset and suffix make."""


class PresetError(ExtensionError, ValueError):
    """A preset of the user's that can't be used."""


class CombinationError(ExtensionError, ValueError):
    """Suffixes of a trainer's name that contradict each other, or a variant of nnU-Net's that a preset can't take."""


class PlanError(ExtensionError, ValueError):
    """A plan that a network can't be built from."""


class InputSizeError(ExtensionError, ValueError):
    """An input that a network can't process."""


class CheckpointError(ExtensionError, RuntimeError):
    """A checkpoint that is corrupt or belongs to another network."""


class RunExistsError(ExtensionError, RuntimeError):
    """A training folder that already holds a run."""


class DiskError(ExtensionError, RuntimeError):
    """A disk that is full or can't be written to. (An OSError can't be a SystemExit as well.)"""


class NonFiniteError(ExtensionError, ArithmeticError):
    """A training whose loss is NaN or infinite, or whose gradients always overflow."""


class DatasetError(ExtensionError, RuntimeError):
    """A dataset whose folders lack what is needed, or already have what would be written."""


class UnsafeFileError(ExtensionError, ValueError):
    """A model file that is damaged, or made to do harm."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class ExportError(ExtensionError, ValueError):
    """A trained model that can't be exported."""


class PredictionError(ExtensionError, ValueError):
    """An exported model, or images, that can't be predicted with."""


class ComparisonError(ExtensionError, ValueError):
    """Runs that are missing, or that can't be compared fairly."""
