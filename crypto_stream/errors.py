"""Every error this project raises on purpose: one tree, caught by type."""


class CryptoStreamError(Exception):
    """Base class of everything this project raises on purpose."""


class UsageError(CryptoStreamError):
    """The user must change something; the text says what, in one line. The program exits with status 2."""


class SettingError(UsageError):
    """A setting has an invalid value; the text names the setting, the value and what is allowed."""


class UnknownHandlerError(UsageError):
    """There is no handler of this name; the text lists the known ones."""


class BrokenHandlerError(UsageError):
    """A handler module cannot be imported, or does not implement the source interface."""


class RecordingError(UsageError):
    """A recording cannot be read or written."""


class ProxyError(UsageError):
    """The proxy named in the environment cannot be used; the text names it and what to change."""


class MalformedFrame(CryptoStreamError):  # noqa: N818 - part of the documented source interface
    """A frame from a venue cannot be parsed; only that frame is lost."""


class VenueError(CryptoStreamError):
    """A venue closed or refused a connection; the text is the reason shown to users."""


class RetryLaterError(VenueError):
    """A venue refused the connection, and it is stated or known that it wants no new one for a while."""

    def __init__(
        self, reason: str, seconds: float, *, next_host: bool = False, breaker: bool = False
    ) -> None:
        """Wait `seconds`; `next_host`: another host may be tried at once; `breaker`: remember it as a ban."""
        super().__init__(reason)
        self.seconds = seconds
        self.next_host = next_host
        self.breaker = breaker


class ImpossibleEventError(CryptoStreamError):
    """An event arrived that is impossible in the current state: a bug of ours; the text names both."""


class BusError(CryptoStreamError):
    """The engine cannot be reached or did not answer in time."""


class RefusedError(CryptoStreamError):
    """The engine understood a request and refused it; `code` is stable, the text is for people."""

    def __init__(self, code: str, reason: str) -> None:
        """Create it with the stable `code` and a sentence for people."""
        super().__init__(reason)
        self.code = code
