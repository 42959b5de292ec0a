"""A report as tests read it: its elements, texts and attributes, by the standard library's parser."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

VOID = {"meta", "input", "br", "link", "img"}


@dataclass
class Element:
    name: str
    attributes: dict[str, str]
    children: list[Any] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(child if isinstance(child, str) else child.text for child in self.children)

    def all(self, name: str = "", **attributes: str) -> list["Element"]:
        """Return the elements inside of this one with a name and attributes; `class_` is one of several."""
        found = []
        for child in self.children:
            if isinstance(child, Element):
                found += [child] * child.fits(name, attributes) + child.all(name, **attributes)
        return found

    def one(self, name: str = "", **attributes: str) -> "Element":
        found = self.all(name, **attributes)
        assert len(found) == 1, f"{len(found)} of {name} {attributes}"
        return found[0]

    def fits(self, name: str, attributes: dict[str, str]) -> bool:
        given = dict(attributes)
        classes = given.pop("class_", "").split()
        same = all(self.attributes.get(key.replace("_", "-")) == value for key, value in given.items())
        return name in ("", self.name) and same and set(classes) <= set(self.attributes.get("class", "").split())

    def table(self) -> list[list[str]]:
        """Return the texts of the cells, row by row."""
        return [[cell.text.strip() for cell in row.all("th") + row.all("td")] for row in self.all("tr")]


class Page(HTMLParser):
    """A parsed page; that every element is closed where it should be is checked."""

    def __init__(self, content: str) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("", {})
        self._open = [self.root]
        self.feed(content)
        self.close()
        assert [element.name for element in self._open] == [""]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), f"an attribute stands twice in {self.get_starttag_text()}"
        element = Element(tag, {name: value or "" for name, value in attrs})
        self._open[-1].children.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open[-1].children.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop().name == tag

    def handle_data(self, data: str) -> None:
        self._open[-1].children.append(data)


def read_page(content: str) -> Element:
    return Page(content).root
