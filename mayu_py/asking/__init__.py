"""A running mayu from outside: which server is meant, with which credentials, and requests to its admin face.

Both command lines ask through it. It imports nothing of the server.
"""

from collections.abc import Mapping

from mayu_py.asking.connection import Connection, Given, choose
from mayu_py.asking.contexts import Book, location, read


def meant(given: Given, environment: Mapping[str, str]) -> Connection:
    """The server that is meant. The file of contexts is read only where it may matter. Raises MayuError."""
    is_named = given.server or (given.context is None and environment.get("MAYU_SERVER"))
    return choose(given, environment, Book() if is_named else read(location(environment)))
