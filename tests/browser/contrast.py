"""The contrast of every text on a page with what is behind it, as WCAG 2 computes it."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import Page

Colour = tuple[float, float, float, float]

# For each element with text of its own: colour, and the backgrounds of it and all it stands in, inmost first.
_TEXTS = """() => [...document.querySelectorAll('body *')].flatMap((element) => {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    const shown = element.checkVisibility({ visibilityProperty: true, opacityProperty: true });
    const input = element instanceof HTMLInputElement;
    if (!shown || !(own || input) || element.closest('.unseen, .skip')) return [];
    const grounds = [];
    for (let at = element; at; at = at.parentElement) {
        const style = getComputedStyle(at);
        grounds.push([style.backgroundColor, style.backgroundImage]);
    }
    const colours = [getComputedStyle(element).color];
    if (input) colours.push(getComputedStyle(element, '::placeholder').color);
    const words = element.textContent.trim().slice(0, 30);
    const name = `${element.tagName.toLowerCase()}.${element.className} ${words}`;
    return colours.map((colour) => [name, colour, grounds]);
})"""
_COLOUR = re.compile(r"rgba?\(([\d., ]+)\)|color\(srgb ([\d. /]+)\)")


def _parse(text: str) -> list[Colour]:
    found = []
    for plain, srgb in _COLOUR.findall(text):
        parts = [float(one) for one in (plain or srgb).replace("/", " ").replace(",", " ").split()]
        scale = 255 if plain else 1
        alpha = parts[3] if len(parts) > 3 else 1.0
        found.append((parts[0] / scale, parts[1] / scale, parts[2] / scale, alpha))
    return found


def _over(top: Colour, below: Colour) -> Colour:
    r, g, b = (top[n] * top[3] + below[n] * (1 - top[3]) for n in range(3))
    return r, g, b, 1.0


def _luminance(colour: Colour) -> float:
    parts = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour[:3]]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def ratio(text: Colour, ground: Colour) -> float:
    """Compute the contrast ratio, 1 to 21."""
    light, dark = sorted((_luminance(_over(text, ground)), _luminance(ground)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _grounds(layers: list[list[str]]) -> list[Colour]:
    """Return every colour that may lie behind a text: stripes give several."""
    possible: list[Colour] = [(1.0, 1.0, 1.0, 1.0)]
    for plain, image in reversed(layers):
        possible = [_over(colour, below) for colour in _parse(plain) for below in possible]
        stripes = _parse(image)
        if stripes:
            possible = [_over(colour, below) for colour in stripes for below in possible]
    return possible


def contrasts(page: Page) -> dict[str, float]:
    """Map each visible text of the page to its worst contrast."""
    texts: list[Any] = page.evaluate(_TEXTS)
    return {
        f"{name} {colour}": min(ratio(_parse(colour)[0], ground) for ground in _grounds(layers))
        for name, colour, layers in texts
    }
