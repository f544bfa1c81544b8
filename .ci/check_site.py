"""Check a built documentation site: check_site.py FOLDER.

Every link of a page to another page, heading, picture, style or script must lead somewhere, and
nothing may be loaded from elsewhere, so that the site works without a network.
"""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {("img", "src"), ("script", "src"), ("link", "href"), ("iframe", "src")}


class Page(HTMLParser):
    """The anchors and links of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = {"", "top"}
        self.links: list[tuple[str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("id", "name") and value:
                self.anchors.add(value)
            elif value and ((tag, name) in LOADED or (tag, name) == ("a", "href")):
                self.links.append((tag, value))


def check(folder: Path) -> tuple[list[str], int, int]:
    """Return what is wrong, and the numbers of pages and links."""
    pages = {
        path: Page(path.read_text(encoding="utf-8"))
        for path in folder.rglob("*.html")
        if "_static" not in path.parts  # templates of the theme
    }
    wrong = []
    for path, page in pages.items():
        place = path.relative_to(folder)
        for tag, link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                if tag != "a" and parts.scheme != "data":
                    wrong.append(f"{place}: loads {link}")
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target /= "index.html"
            if not target.is_file():
                wrong.append(f"{place}: no file {link}")
            elif target in pages and unquote(parts.fragment) not in pages[target].anchors:
                wrong.append(f"{place}: no anchor {link}")
    return wrong, len(pages), sum(len(page.links) for page in pages.values())


if __name__ == "__main__":
    errors, n_pages, n_links = check(Path(sys.argv[1]).resolve())
    print(*errors, f"{n_pages} pages, {n_links} links, {len(errors)} broken", sep="\n")
    sys.exit(bool(errors) or n_pages < 40)
