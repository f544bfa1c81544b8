"""Finds the mutants of a C file."""

import re
from bisect import bisect_right

from mutant import of_line

_TOKEN = re.compile(
    r"[A-Za-z_]\w*"
    r"|0[xX][\w.]+(?:(?<=[pP])[-+]\d+\w*)?"
    r"|(?:\d[\w.]*|\.\d\w*)(?:(?<=[eE])[-+]\d+\w*)?"
    r"|->|\+\+|--|<<=|>>=|<=|>=|==|!=|&&|\|\||[-+*/%&|^]=|<<|>>|[-+*/%<>=!&|^~?:;,(){}\[\].]"
)
_HIDDEN = re.compile(
    r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'"
    r"|^[ \t]*#(?:[^\n]*\\\n)*[^\n]*",
    re.DOTALL | re.MULTILINE,
)
_INTEGER = re.compile(r"(0[xX][0-9a-fA-F]+|\d+)([uUlL]*)")
_FLOAT = re.compile(r"(?:\d+\.\d*|\.\d+)(?:[eE][-+]?\d+)?[fF]?|\d+[eE][-+]?\d+[fF]?")

_COMPARISONS = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "=="}
_LOGIC = {"&&": "||", "||": "&&"}
_SUMS = {"+": "-", "-": "+", "+=": "-=", "-=": "+="}
_BITS = {"&": "|", "|": "&", "<<": ">>", ">>": "<<", "|=": "&=", "&=": "|="}

_IF = re.compile(r"^\s*(?:\} else |else )?if \(")
_LEAVES = re.compile(r"^\s*(return|goto|break|continue)\b")
_CALL = re.compile(r"^\s*\w+\(.*\);$")
_ASSIGNMENT = re.compile(r"^\s*[\w.>\[\]*-]+ ([-+|&]?=) .*;$")
_NOT_CODE = re.compile(r"\b_?[sS]tatic_assert\b|BS_ISA\(")


def mutants(path, text):
    """Return all mutants of a file, comments, strings and preprocessor lines left out."""
    masked = _HIDDEN.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)
    lines, bare = text.split("\n"), masked.split("\n")
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)

    found = []

    def add(number, begin, end, new, kind):
        if not _NOT_CODE.search(lines[number]):
            new = new.replace("{}", lines[number][begin:end])
            after = lines[number][:begin] + new + lines[number][end:]
            found.append(of_line(path, lines, number, after, kind))

    previous = ""
    for token in _TOKEN.finditer(masked):
        number = bisect_right(starts, token.start()) - 1
        begin = token.start() - starts[number]
        for new, kind in _replacements(token.group(), previous):
            add(number, begin, begin + len(token.group()), new, kind)
        previous = token.group()
    for number, line in enumerate(bare):
        for begin, end, new, kind in _statements(line, bare[number + 1:], bare[:number]):
            add(number, begin, end, new, kind)
    return found


def _replacements(token, previous):
    """Yield what a token may become."""
    after_value = re.fullmatch(r"[\w.]+|\)|\]", previous) and previous not in ("return", "case")
    if token in _COMPARISONS:
        yield _COMPARISONS[token], "comparison"
    elif token in _LOGIC:
        yield _LOGIC[token], "logic"
    elif token in _SUMS and (len(token) == 2 or after_value):
        yield _SUMS[token], "sum"
    elif token in _BITS and after_value:
        yield _BITS[token], "bits"
    elif token == "!":
        yield "!!", "condition"
    elif (parts := _INTEGER.fullmatch(token)) is not None:
        value, suffix = int(parts[1], 16 if parts[1][:2] in ("0x", "0X") else 10), parts[2]
        yield f"{value + 1}{suffix}", "constant"
        if value > 0:
            yield f"{value - 1}{suffix}", "constant"
    elif _FLOAT.fullmatch(token) and float(token.rstrip("fF")) != 0:
        yield f"(1.0625f * {token})", "constant"


def _statements(line, below, above):
    """Yield what may become of a whole statement, as ``(begin, end, new text, kind)``."""
    if (start := _IF.match(line)) is not None:
        end = _closing(line, start.end() - 1)
        if end is not None:
            condition = (start.end(), end)
            yield *condition, "!({})", "condition"
            rest = [line[end + 1:].strip(" {"), *below[:3]]
            body = next((text for text in rest if text.strip()), "")
            if _LEAVES.match(body) or any(_LEAVES.match(text) for text in below[:2]):
                yield *condition, "false && ({})", "dropped check"
    before = next((text.rstrip() for text in reversed(above) if text.strip()), "")
    alone = before.endswith((";", "{", "}", ":"))
    if _CALL.match(line.rstrip()) and (alone or before.endswith((")", "else"))):
        yield len(line) - len(line.lstrip()), len(line.rstrip()), ";", "statement"
    elif _ASSIGNMENT.match(line.rstrip()) and alone:
        yield len(line) - len(line.lstrip()), len(line.rstrip()), ";", "statement"


def _closing(line, opening):
    """Return the index of the parenthesis that closes the one at `opening`, or None."""
    depth = 0
    for i in range(opening, len(line)):
        depth += (line[i] == "(") - (line[i] == ")")
        if depth == 0:
            return i
    return None
