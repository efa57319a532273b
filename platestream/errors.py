"""The project's own errors: each message names the thing at fault and what to do about it."""

from platestream.masking import mask


class PlatestreamError(Exception):
    """Anything a user can mend; the command line prints its message and no traceback.

    Passwords in URLs are masked, wherever the message is shown.
    """

    def __str__(self) -> str:
        """The message, without passwords."""
        return mask(super().__str__())


class SettingsError(PlatestreamError):
    """A setting is missing, unknown or out of range."""


class SourceError(PlatestreamError):
    """A video source or picture cannot be opened or read."""


class OutputError(PlatestreamError):
    """A file cannot be written where the user asked for it."""


class RedisError(PlatestreamError):
    """Redis cannot be reached, or refused a command."""


class TakenOverError(PlatestreamError):
    """Another process serves this one's camera now; this one must change nothing more."""


class MessageError(PlatestreamError):
    """A stream entry is not one of ours, or breaks a limit."""


class OverwrittenError(MessageError):
    """A picture in shared memory has made room for a newer one, or is gone with its ring."""


class SharedMemoryError(PlatestreamError):
    """There is not enough shared memory, or it cannot be used."""


class ReplicaError(PlatestreamError):
    """A replica cannot read any more, through no fault of a frame; started again it may."""


class WeightsError(PlatestreamError):
    """Model weights are missing, damaged or not made by this project."""


class DataError(PlatestreamError):
    """Training or evaluation data is missing or cannot be used."""
