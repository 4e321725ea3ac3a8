"""A browser's bare bones: cookies per host, forms by their id, redirects one by one. No script, no cache, no proxy."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import urlencode, urljoin, urlsplit

import urllib3

MAX_BODY: Final = 512 * 1024  # bytes of one page
MAX_REDIRECTS: Final = 5
_VOID: Final = frozenset({"input", "meta", "link", "br", "hr", "img"})


class WebFault(Exception):
    """A page that cannot be had or is not what a browser could use. Never carries a query, a cookie or a form value."""


def origin_of(url: str) -> str:
    """scheme://host[:port] as it stands in the address."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def place_of(url: str) -> str:
    """An address without its query, for messages."""
    return f"{origin_of(url)}{urlsplit(url).path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A form as it would be sent: `fields` are its hidden and filled-in inputs, and its ticked boxes."""

    action: str
    method: str
    fields: Mapping[str, str] = field(repr=False)
    more: Sequence[tuple[str, str]] = field(default=(), repr=False)
    """Further values of names that stand in `fields`, in their order."""
    boxes: Sequence[tuple[str, str]] = field(default=(), repr=False)
    """The boxes that are not ticked: names and what each would send."""

    def all_ticked(self) -> Form:
        """The form of somebody who ticks every box."""
        return replace(self, fields={**self.fields, **dict(self.boxes)}, boxes=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """An answer. `url` is where it came from at last."""

    url: str = field(repr=False)
    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def elements(self) -> Elements:
        """The page's elements by id. Anything that is no HTML has none."""
        return Elements(self.body.decode("utf-8", "replace"))

    def form(self, identifier: str) -> Form | None:
        """The form with this id, its action made absolute."""
        found = self.elements.forms.get(identifier)
        if found is None:
            return None
        return replace(found, action=urljoin(self.url, found.action or self.url))


class Elements(HTMLParser):
    """What a program needs of a page: forms, links and texts by id, and the `data-` attributes of list items."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.forms: dict[str, Form] = {}
        self.links: dict[str, str] = {}
        self.texts: dict[str, str] = {}
        self.items: list[Mapping[str, str]] = []
        """The data attributes, without `data-`, of each list item that has any, in order."""
        self._form: dict[str, str] | None = None
        self._more: list[tuple[str, str]] = []
        self._boxes: list[tuple[str, str]] = []
        self._select = ""
        self._open: list[tuple[str, str | None]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Called by the parser."""
        attributes = {name: value or "" for name, value in attrs}
        identifier = attributes.get("id")
        if tag == "form":
            self._form, self._more, self._boxes = {}, [], []
            if identifier:
                method = attributes.get("method", "get").lower()
                self.forms[identifier] = Form(
                    action=attributes.get("action", ""),
                    method=method,
                    fields=self._form,
                    more=self._more,
                    boxes=self._boxes,
                )
        elif tag == "input" and self._form is not None and "name" in attributes:
            name, value = attributes["name"], attributes.get("value", "")
            if attributes.get("type") in {"checkbox", "radio"} and "checked" not in attributes:
                if attributes["type"] == "checkbox":
                    self._boxes.append((name, value))  # it is not sent
            elif name in self._form:
                self._more.append((name, value))
            else:
                self._form[name] = value
        elif tag == "select":
            self._select = attributes.get("name", "")
        elif tag == "option" and self._form is not None and self._select:
            if "selected" in attributes or self._select not in self._form:
                self._form[self._select] = attributes.get("value", "")
        elif tag == "a" and identifier:
            self.links[identifier] = attributes.get("href", "")
        elif tag == "li":
            stated = {name[5:]: value for name, value in attributes.items() if name.startswith("data-")}
            if stated:
                self.items.append(stated)
        if tag not in _VOID:
            self._open.append((tag, identifier))
        if identifier:
            self.texts.setdefault(identifier, "")

    def handle_endtag(self, tag: str) -> None:
        """Called by the parser."""
        if tag == "form":
            self._form = None
        elif tag == "select":
            self._select = ""
        names = [name for name, _ in self._open]
        if tag in names:
            del self._open[len(names) - 1 - names[::-1].index(tag) :]

    def handle_data(self, data: str) -> None:
        """Called by the parser."""
        for _, identifier in self._open:
            if identifier:
                self.texts[identifier] += data


class WebClient:
    """One browser with its own cookies. It speaks to `origins` only, so that no page can send it elsewhere."""

    def __init__(
        self, *, origins: frozenset[str], timeout: float, language: str = "ja", authorities: str | None = None
    ) -> None:
        """`timeout` is for each request, in seconds; `language` is what pages are asked for in.

        `authorities` is a PEM file of whom to trust for certificates; None for the system's.
        """
        self._origins = origins
        self._language = language
        self._pool = urllib3.PoolManager(
            num_pools=4, timeout=urllib3.Timeout(total=timeout), retries=False, ca_certs=authorities
        )
        self._cookies: dict[str, dict[str, str]] = {}
        self.requests: list[tuple[str, float]] = []
        """(path, milliseconds) of everything asked for, in order."""

    def close(self) -> None:
        """Let the connections go."""
        self._pool.clear()

    def get(self, url: str, *, follow: bool = True) -> Page:
        """Navigate. Raises WebFault."""
        page = self._send("GET", url, None, {})
        return self._follow(page) if follow else page

    def submit(self, form: Form, *, origin: str, follow: bool = True, **values: str) -> Page:
        """Send a form from a page of `origin`, with `values` filled in. Raises WebFault."""
        fields = [*{**form.fields, **values}.items(), *(pair for pair in form.more if pair[0] not in values)]
        if form.method == "get":
            return self.get(f"{form.action}?{urlencode(fields)}", follow=follow)
        page = self._send("POST", form.action, urlencode(fields).encode(), {"Origin": origin})
        return self._follow(page) if follow else page

    def _follow(self, page: Page) -> Page:
        for _ in range(MAX_REDIRECTS):
            if page.status not in (302, 303):
                return page
            page = self._send("GET", urljoin(page.url, page.headers.get("location", "")), None, {})
        raise WebFault(f"more than {MAX_REDIRECTS} redirects, last to {place_of(page.url)}")

    def _send(self, method: str, url: str, body: bytes | None, headers: dict[str, str]) -> Page:
        if origin_of(url) not in self._origins:
            raise WebFault(f"a page leads to {origin_of(url)}, which is not part of this login")
        host = urlsplit(url).hostname or ""
        sent = {"Accept-Language": self._language, **headers}
        if self._cookies.get(host):
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self._cookies[host].items())
        if body is not None:
            sent["Content-Type"] = "application/x-www-form-urlencoded"
        begun = time.perf_counter()
        try:
            response = self._pool.request(method, url, body=body, headers=sent, redirect=False, preload_content=False)
            content = response.read(MAX_BODY + 1)
            if len(content) > MAX_BODY:
                response.close()
                raise WebFault(f"{place_of(url)}: more than {MAX_BODY} bytes")
            response.release_conn()
        except urllib3.exceptions.HTTPError as fault:
            raise WebFault(f"{place_of(url)}: {_reason(fault)}") from None
        self.requests.append((urlsplit(url).path, (time.perf_counter() - begun) * 1000))
        keep_cookies(self._cookies.setdefault(host, {}), response.headers.getlist("Set-Cookie"))
        return Page(
            url=url,
            status=response.status,
            headers={name.lower(): value for name, value in response.headers.items()},
            body=content,
        )


def keep_cookies(jar: dict[str, str], lines: Iterable[str]) -> None:
    """Apply Set-Cookie lines to one host's cookies; max-age=0 or an empty value takes one away. Raises WebFault."""
    for line in lines:
        try:
            morsels = SimpleCookie(line)
        except CookieError:
            raise WebFault("a cookie that cannot be read") from None
        for name, morsel in morsels.items():
            if morsel["max-age"] == "0" or not morsel.value:
                jar.pop(name, None)
            else:
                jar[name] = morsel.value


def _reason(fault: urllib3.exceptions.HTTPError) -> str:
    match fault:
        case urllib3.exceptions.NewConnectionError():
            return "nobody answers there"
        case urllib3.exceptions.TimeoutError():
            return "no answer in time"
        case _:
            return type(fault).__name__
