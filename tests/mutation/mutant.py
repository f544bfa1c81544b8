"""What a mutant is, and how it is written down."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Mutant:
    """One line of one file, changed in one place.

    Lines are known by their text and by how many lines with the same text come before them, so
    that a mutant is found again after other lines have changed.
    """

    path: str
    before: str
    after: str
    same_before: int  # lines above with the same text
    kind: str = dataclasses.field(compare=False, default="")

    def apply(self, text):
        """Return the contents of the file with the mutant in it."""
        lines = text.split("\n")
        number = self.line_in(lines)
        margin = lines[number][:len(lines[number]) - len(lines[number].lstrip())]
        lines[number] = margin + self.after.strip()
        return "\n".join(lines)

    def line_in(self, lines):
        """Return the index of the line. Raises LookupError if it is no longer there."""
        found = [i for i, line in enumerate(lines) if line.strip() == self.before.strip()]
        if len(found) <= self.same_before:
            raise LookupError(f"{self.path} has no line {self.before.strip()!r}")
        return found[self.same_before]

    def written(self):
        """Return the mutant as `survivors.txt` and `known.txt` have it."""
        which = f" @{self.same_before + 1}" if self.same_before else ""
        return f"{self.path}{which}\n- {self.before.strip()}\n+ {self.after.strip()}"


def of_line(path, lines, number, after, kind):
    """Return the mutant that replaces line `number` by `after`."""
    before = lines[number]
    above = sum(line.strip() == before.strip() for line in lines[:number])
    return Mutant(path, before, after, above, kind)


def read_list(path):
    """Yield ``(mutant, notes)`` for each entry of a list.

    An entry is as `Mutant.written` gives it, followed by its notes, and an empty line. Lines that
    begin with # are comments.
    """
    text = path.read_text(encoding="utf-8")
    kept = "\n".join(line for line in text.split("\n") if not line.startswith("#"))
    for entry in filter(None, (part.strip("\n") for part in kept.split("\n\n"))):
        place, before, after, *notes = entry.split("\n")
        name, _, which = place.partition(" @")
        if not before.startswith("- ") or not after.startswith(("+ ", "+")):
            raise ValueError(f"{path.name}: not an entry: {entry}")
        above = int(which) - 1 if which else 0
        yield Mutant(name, before[2:], after[2:], above), " ".join(n.strip() for n in notes)
