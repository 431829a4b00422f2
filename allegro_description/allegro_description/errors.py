"""Exceptions of the suite. Each message says what is wrong, where, what is allowed and how to mend it.

::

    AllegroError
    ├── ConfigError (ValueError)          a parameter, YAML file or hand description is wrong
    ├── UnknownName (LookupError)         a name is not in a known set (joint, taxel, parameter, hand …)
    │   └── UnknownPlugin                 no such plug-in in a plug-in table
    ├── MissingDependency (ImportError)   an optional package is absent; names the pip extra
    ├── ProtocolError (ValueError)        bytes from the wire that are not a valid packet
    ├── LinkError (OSError)               a socket or bus cannot be opened, read or written
    │   └── LinkTimeout (TimeoutError)    nothing arrived in time
    ├── IdentityError                     the hand that answered is not the hand that was asked for
    ├── CommandRefused (ValueError)       a command that would be unsafe or is malformed; nothing moved
    └── BundleError (ValueError)          a policy bundle is incomplete, altered or does not fit

Safety faults are states (see ``allegro_driver.control.safety``), not exceptions.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class AllegroError(Exception):
    """Root of all errors raised on purpose by this suite."""


class ConfigError(AllegroError, ValueError):
    """A parameter, YAML file or hand description holds a value that is not allowed."""


class UnknownName(AllegroError, LookupError):
    """A name that is not in the known set; the message lists the set and the nearest match."""

    def __init__(self, kind: str, name: str, known: Iterable[str], remedy: str = '') -> None:
        """Build the message.

        Args:
            kind: what the name should denote, e.g. ``'joint'``.
            name: the offending name.
            known: every allowed name.
            remedy: optional sentence on how to mend it.
        """
        self.kind, self.name, self.known = kind, name, tuple(known)
        near = difflib.get_close_matches(name, self.known, n=1)
        hint = f' Did you mean {near[0]!r}?' if near else ''
        listing = ', '.join(self.known) or 'none'
        super().__init__(f'unknown {kind} {name!r}; known: {listing}.{hint}{" " + remedy if remedy else ""}')


class UnknownPlugin(UnknownName):
    """No plug-in of that name in its table."""


class MissingDependency(AllegroError, ImportError):
    """An optional Python package is absent; the message names the command that installs it."""


class ProtocolError(AllegroError, ValueError):
    """Bytes that are not a valid frame or datagram of the hand's protocol."""


class LinkError(AllegroError, OSError):
    """A link (UDP socket, CAN bus) could not be opened, read or written."""


class LinkTimeout(LinkError, TimeoutError):
    """The peer did not answer in time."""


class IdentityError(AllegroError):
    """The hand that answered is not the one that was asked for (side, model or serial)."""


class CommandRefused(AllegroError, ValueError):
    """A command that is malformed or unsafe. Nothing was sent to the hand."""


class BundleError(AllegroError, ValueError):
    """A policy bundle is incomplete, altered, or made for another hand."""
