"""Every error this project raises on purpose: one tree, caught by type."""


class CryptoStreamError(Exception):
    """Be the root: catching it catches whatever this project raises on purpose."""


class UsageError(CryptoStreamError):
    """Say in one line what the person who starts the program must change; the program ends with status 2."""


class SettingError(UsageError):
    """A setting has a value that is not allowed; the text names setting, value and what is allowed."""


class UnknownHandlerError(UsageError):
    """No handler has this name; the text lists the known ones."""


class BrokenHandlerError(UsageError):
    """A handler module exists but cannot be imported or lacks what the source interface asks for."""


class RecordingError(UsageError):
    """A recording cannot be read or written."""


class ProxyError(UsageError):
    """The proxy that the environment names cannot be used; the text names it and what to change."""


class MalformedFrame(CryptoStreamError):  # noqa: N818 - the name the source interface promises
    """One frame of a venue cannot be read; it costs that frame and nothing else."""


class VenueError(CryptoStreamError):
    """A venue ended or refused a connection; the text is the reason shown to people."""


class RetryLaterError(VenueError):
    """A venue refused the connection and said, or is known, to want no new one for a while."""

    def __init__(
        self, reason: str, seconds: float, *, next_host: bool = False, breaker: bool = False
    ) -> None:
        """Keep `seconds` to wait; `next_host`: another may be tried at once; `breaker`: a ban to remember."""
        super().__init__(reason)
        self.seconds = seconds
        self.next_host = next_host
        self.breaker = breaker


class ImpossibleEventError(CryptoStreamError):
    """An event came that cannot happen in the present state: a bug of ours; the text names both."""


class BusError(CryptoStreamError):
    """The engine cannot be reached or did not answer in time."""


class RefusedError(CryptoStreamError):
    """The engine understood a request and refused it; `code` is stable, the text is for people."""

    def __init__(self, code: str, reason: str) -> None:
        """Keep the stable `code` beside the sentence for people."""
        super().__init__(reason)
        self.code = code
