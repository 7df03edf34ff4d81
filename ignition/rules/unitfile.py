"""systemd unit files as Ignition reads them (coreos/go-systemd, unit/deserialize.go): more leniently than systemd."""

import re

from ignition.rules.places import quoted

_LINE_MAX = 2048
_NAME_END = re.compile(r"[=\r\n]")
_NEWLINE = re.compile(r"[\r\n]")
# Lines of options that end where they seem to: most units are made of little else.
_PLAIN_OPTIONS = re.compile(r"(?:[^\s\[#;=\\][^=\r\n\\]*+=[^\r\n\\]*+\n)++")


class BadUnit(ValueError):
    """The text is not a unit file; the message is go-systemd's."""


def sections_with_options(text: str) -> frozenset[str]:
    """Return the names of the sections that hold an option; raise BadUnit when the text does not parse."""
    return _Lexer(text).run()


class _Lexer:
    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.section = ""
        self.found: set[str] = set()
        # A character has four bytes at most.
        self.may_have_long_lines = 4 * max(map(len, text.split("\n"))) >= _LINE_MAX

    def run(self) -> frozenset[str]:
        is_inside = False
        while self.position < len(self.text):
            if is_inside and self.plain_options():
                continue
            self.check_line_length()
            char = self.text[self.position]
            if char == "[":
                self.header()
                is_inside = True
            elif char in "#;":
                self.comment()
            elif not is_inside or char.isspace():
                self.position += 1
            else:
                self.option()
        return frozenset(self.found)

    def plain_options(self) -> bool:
        """Take all plain options that stand here at once; return whether there are any."""
        found = None if self.may_have_long_lines else _PLAIN_OPTIONS.match(self.text, self.position)
        if found is None:
            return False
        self.position = found.end()
        self.found.add(self.section)
        return True

    def check_line_length(self) -> None:
        """systemd cuts longer lines, so they are refused. At the start Go has not filled its buffer and cannot look."""
        if not self.may_have_long_lines:
            return
        line = self.text[self.position : self.position + _LINE_MAX]
        if self.position and len(line.encode()) >= _LINE_MAX and not _NEWLINE.search(line):
            raise BadUnit(f"line too long (max {_LINE_MAX} bytes)")

    def header(self) -> None:
        self.position += 1
        self.check_line_length()
        end = self.text.find("]", self.position)
        if end == -1:
            raise BadUnit("unable to find end of section")
        self.section = self.text[self.position : end]
        self.position = end + 1
        self.check_line_length()
        if garbage := self.line().strip():
            raise BadUnit(f"found garbage after section name : {quoted(garbage)}")

    def comment(self) -> None:
        self.position += 1
        self.check_line_length()
        while self.line().removesuffix(" ").endswith("\\") and self.position < len(self.text):
            pass

    def option(self) -> None:
        name_end = _NAME_END.search(self.text, self.position)
        if name_end is None:
            raise BadUnit("EOF")
        if name_end[0] != "=":
            raise BadUnit("unexpected newline encountered while parsing option name")
        self.position = name_end.end()
        self.check_line_length()
        while (line := self.line()).strip() and line.endswith("\\"):
            self.check_line_length()
        self.found.add(self.section)

    def line(self) -> str:
        """Take the rest of the line. A carriage return before its end stays, so it ends a continuation."""
        end = self.text.find("\n", self.position)
        line = self.text[self.position :].removesuffix("\r") if end == -1 else self.text[self.position : end]
        self.position = len(self.text) if end == -1 else end + 1
        return line
