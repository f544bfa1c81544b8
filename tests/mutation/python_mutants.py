"""Finds the mutants of a Python file."""

import ast
import re

from mutant import of_line

_COMPARISONS = {
    ast.Lt: ("<", "<="), ast.LtE: ("<=", "<"), ast.Gt: (">", ">="), ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="), ast.NotEq: ("!=", "=="), ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"), ast.In: ("in", "not in"), ast.NotIn: ("not in", "in"),
}
_OPERATORS = {ast.Add: ("+", "-"), ast.Sub: ("-", "+"), ast.BitAnd: ("&", "|"),
              ast.BitOr: ("|", "&"), ast.LShift: ("<<", ">>"), ast.RShift: (">>", "<<")}
_LEAVES = (ast.Raise, ast.Return, ast.Continue, ast.Break)


def mutants(path, text):
    """Return all mutants of a file. Annotations and what is raised or displayed are left out."""
    finder = _Finder(path, text)
    finder.visit(ast.parse(text))
    return finder.found


class _Finder(ast.NodeVisitor):
    def __init__(self, path, text):
        self.path, self.lines, self.found = path, text.split("\n"), []

    def add(self, begin, end, new, kind):
        """Replace what lies between two positions ``(line from 1, byte of the line)``."""
        if begin[0] != end[0]:
            return
        number = begin[0] - 1
        line = self.lines[number].encode()
        new = new.replace("{}", self.text_of(begin, end))
        after = line[:begin[1]] + new.encode() + line[end[1]:]
        self.found.append(of_line(self.path, self.lines, number, after.decode(), kind))

    def text_of(self, begin, end):
        return self.lines[begin[0] - 1].encode()[begin[1]:end[1]].decode()

    def between(self, left, right, old, new, kind):
        """Replace an operator between two expressions."""
        begin, end = _end(left), _begin(right)
        if begin[0] != end[0]:
            return
        text = self.text_of(begin, end)
        found = re.search(rf"\b{old}\b" if old[0].isalpha() else re.escape(old), text)
        if found is not None:
            self.add((begin[0], begin[1] + found.start()), (begin[0], begin[1] + found.end()),
                     new, kind)

    def visit_Compare(self, node):
        for left, op, right in zip([node.left, *node.comparators], node.ops, node.comparators,
                                   strict=False):
            self.between(left, right, *_COMPARISONS[type(op)], "comparison")
        self.generic_visit(node)

    def visit_BoolOp(self, node):
        words = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in zip(node.values, node.values[1:], strict=False):
            self.between(left, right, *words, "logic")
        self.generic_visit(node)

    def visit_BinOp(self, node):
        texts = any(isinstance(side, ast.JoinedStr) or
                    isinstance(side, ast.Constant) and isinstance(side.value, str | bytes)
                    for side in (node.left, node.right))
        if type(node.op) in _OPERATORS and not texts:
            kind = "sum" if isinstance(node.op, ast.Add | ast.Sub) else "bits"
            self.between(node.left, node.right, *_OPERATORS[type(node.op)], kind)
        self.generic_visit(node)

    def visit_AugAssign(self, node):
        if isinstance(node.op, ast.Add | ast.Sub):
            old, new = ("+=", "-=") if isinstance(node.op, ast.Add) else ("-=", "+=")
            self.between(node.target, node.value, old, new, "sum")
        self.generic_visit(node)

    def visit_UnaryOp(self, node):
        if isinstance(node.op, ast.Not):
            self.add(_begin(node), _begin(node.operand), "", "condition")
        self.generic_visit(node)

    def visit_Constant(self, node):
        if isinstance(node.value, bool):
            self.add(_begin(node), _end(node), str(not node.value), "constant")
        elif isinstance(node.value, int):
            self.add(_begin(node), _end(node), str(node.value + 1), "constant")
            if node.value > 0:
                self.add(_begin(node), _end(node), str(node.value - 1), "constant")

    def visit_If(self, node):
        self.condition(node.test)
        if isinstance(node.body[-1], _LEAVES):
            self.add(_begin(node.test), _end(node.test), "False and ({})", "dropped check")
        self.generic_visit(node)

    def visit_IfExp(self, node):
        self.condition(node.test)
        self.generic_visit(node)

    def visit_While(self, node):
        self.condition(node.test)
        self.generic_visit(node)

    def condition(self, test):
        self.add(_begin(test), _end(test), "not ({})", "condition")

    def visit_Expr(self, node):
        if isinstance(node.value, ast.Call):
            self.add(_begin(node), _end(node), "pass", "statement")
            self.generic_visit(node)  # not into docstrings

    def visit_Raise(self, node):
        self.add(_begin(node), _end(node), "pass", "statement")

    def visit_FunctionDef(self, node):
        for part in [*node.args.defaults, *filter(None, node.args.kw_defaults), *node.body]:
            self.visit(part)

    def visit_AnnAssign(self, node):
        if node.value is not None:
            self.visit(node.value)

    def visit_JoinedStr(self, node):
        pass  # its positions are wrong before Python 3.12, and it is mostly a message


def _begin(node):
    return node.lineno, node.col_offset


def _end(node):
    return node.end_lineno, node.end_col_offset
