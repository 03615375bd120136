"""The report in a real browser: quiet, within its width, and harmless whatever a model wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rlconf.report import write_report

RTL, OVERRIDE, ESCAPE = "\u200f", "\u202e", "\x1b"
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "</pre></style></script><svg onload=alert(3)>",
    "<a href='javascript:alert(4)'>click</a><iframe src='http://example.org/'></iframe>",
    f"nul \0 bell \a {ESCAPE}[31mred{ESCAPE}[0m",
    f"{RTL}right to left {OVERRIDE}desrever",
    "{{ 7 * 7 }} {% raw %} ${7*7}",
    "x" * 100_000,
    "🎉日本語 é",
]


@pytest.fixture
def hostile(make_run: Any, tmp_path: Path) -> Path:
    """A report in which every text that a run folder can hold is an attack."""
    attack = "<img src=x onerror=alert(9)>"
    folder = make_run(
        "a",
        texts=HOSTILE,
        prompt='<script src="http://example.org/x.js"></script>',
        name=f"toy{attack}",
        task={"name": attack},
        reward={attack: {"weight": 1.0}},
    )
    metrics = folder / "metrics.jsonl"
    metrics.write_text(metrics.read_text().replace("grad_norm", f"{attack}/x".replace('"', "'")))
    return write_report([folder], tmp_path / "report.html")


@pytest.fixture
def overlaid(make_run: Any, tmp_path: Path) -> Path:
    """Two configurations, one of them with three seeds."""
    runs = [make_run(f"ucas-{seed}", seed=seed, after=0.9 + seed / 100) for seed in range(3)]
    runs.append(make_run("plain", shaper={}, after=0.8, tokens=False))
    return write_report(runs, tmp_path / "report.html")


@pytest.mark.parametrize("page", ["hostile", "overlaid"])
@pytest.mark.parametrize("width", [375, 768, 1280])
def test_no_error_no_request_no_overflow(
    page: str, width: int, request: pytest.FixtureRequest, browser: Any
) -> None:
    path = request.getfixturevalue(page)

    browser.open(path, width)
    browser.value("for (const one of document.querySelectorAll('details')) one.open = true")
    sizes = browser.value("[document.documentElement.scrollWidth, innerWidth]")

    assert browser.complaints() == []
    assert browser.requests() == [path.as_uri()]
    assert sizes[0] <= sizes[1] == width


def test_the_checks_above_can_fail(browser: Any, tmp_path: Path) -> None:
    page = tmp_path / "bad.html"
    page.write_text(
        "<!DOCTYPE html><meta name=viewport content='width=device-width'>"
        "<div style='width:2000px'>wide</div><img src='missing.png'>"
        "<script>console.log('said'); undefined_name()</script>"
    )
    browser.open(page, 375)
    complaints = " ".join(browser.complaints())
    assert "said" in complaints
    assert "undefined_name" in complaints
    assert any(url.endswith("missing.png") for url in browser.requests())
    assert browser.value("document.documentElement.scrollWidth") > 375


def test_hostile_texts_are_shown_as_text(hostile: Path, browser: Any) -> None:
    browser.open(hostile)
    text = browser.value("document.body.textContent")

    shown = [*HOSTILE[:4], "nul ␀ bell ␇ ␛[31mred␛[0m", "[U+200F]right to left [U+202E]desrever"]
    shown += ["{{ 7 * 7 }} {% raw %} ${7*7}", "🎉日本語 é"]
    # Lists, because pytest would take minutes to show a difference in so long a text.
    assert [expected for expected in shown if expected not in text] == []
    assert ("x" * 601 in text, "99,400 tokens not shown" in text) == (False, True)
    foreign = "document.querySelectorAll('img, iframe, object, embed, a[href^=javascript]').length"
    assert browser.value(foreign) == 0
    assert browser.value("document.scripts.length") == 1
    assert browser.value("document.title").startswith("toy<img src=x")


def test_the_policy_stops_a_script_that_got_in(hostile: Path, browser: Any, tmp_path: Path) -> None:
    """Were anything ever left unescaped, it would still not run."""
    page = tmp_path / "injected.html"
    injected = "<script>window.ran = 1</script><img src=x onerror='window.ran = 1'>"
    page.write_text(hostile.read_text().replace("<main>", f"<main>{injected}"))
    browser.open(page)
    assert browser.value("window.ran") is None
    assert any("Content Security Policy" in one for one in browser.complaints())


COLOUR = "getComputedStyle(document.querySelector('.sample .t.c6')).backgroundColor"


def test_colours_switch_without_a_script(overlaid: Path, browser: Any) -> None:
    browser.send("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(overlaid)
        by_certainty = browser.value(COLOUR)
        browser.value("document.getElementById('by-advantage').checked = true")
        by_advantage = browser.value(COLOUR)
        browser.value("document.getElementById('by-nothing').checked = true")
        plain = browser.value(COLOUR)
        curves = browser.value("document.querySelectorAll('#curves svg path.line').length")
    finally:
        browser.send("Emulation.setScriptExecutionDisabled", value=False)
    assert len({by_certainty, by_advantage, plain}) == 3
    assert plain == "rgba(0, 0, 0, 0)"
    assert curves >= 6  # reward, accuracy and entropy of two groups


def press(browser: Any, key: str) -> None:
    for kind in ("keyDown", "keyUp"):
        browser.send("Input.dispatchKeyEvent", type=kind, key=key, code=key)


def test_a_curve_and_the_tokens_are_read_with_the_keyboard(overlaid: Path, browser: Any) -> None:
    browser.open(overlaid)
    browser.value("document.querySelector('#curves svg[data-chart]').focus()")
    press(browser, "End")
    reading = browser.value("document.querySelector('#curves .reading').textContent")
    assert reading.startswith("step 30: A 1.010 [1, 1.020]")
    assert "B 1" in reading

    browser.value("document.querySelector('.tokens').focus()")
    press(browser, "ArrowRight")
    press(browser, "ArrowRight")
    values = browser.value("document.querySelector('.token-reading').textContent")
    assert values == browser.value("document.querySelectorAll('.tokens .t')[1].title")
    assert values
    assert "certainty" in values
    assert "advantage" in values
    assert browser.complaints() == []


def test_series_are_found_by_name(overlaid: Path, browser: Any) -> None:
    browser.open(overlaid)
    browser.value("document.getElementById('find').value = 'GRAD'")
    browser.value("document.getElementById('find').dispatchEvent(new Event('input'))")
    shown = "[...document.querySelectorAll('#series .chart')].filter(c => c.checkVisibility())"
    titles = browser.value(f"{shown}.map(c => c.querySelector('b').textContent)")
    assert titles == ["grad_norm"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_what_is_behind_it(scheme: str, overlaid: Path, browser: Any) -> None:
    """Contrast of at least 4.5 (WCAG AA) for the page's text, on every token's shade too."""
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.send("Emulation.setEmulatedMedia", features=features)
    try:
        browser.open(overlaid)
        names = browser.value(
            "[...document.styleSheets[0].cssRules[0].style].filter(n => n.startsWith('--'))"
        )
        root = "getComputedStyle(document.documentElement)"
        colour = {
            name: browser.value(f"{root}.getPropertyValue('{name}').trim()") for name in names
        }
    finally:
        browser.send("Emulation.setEmulatedMedia", features=[])
    shades = [name for name in names if name[2] in "cnp" and name[-1].isdigit()]
    assert len(shades) == 7 + 4 + 4
    pairs = [("--ink", shade) for shade in [*shades, "--zero", "--card", "--paper"]]
    pairs += [("--quiet", "--paper"), ("--quiet", "--card"), ("--k0", "--paper")]
    low = {pair: contrast(*(colour[one] for one in pair)) for pair in pairs}
    assert {pair: ratio for pair, ratio in low.items() if ratio < 4.5} == {}
    lines = {f"--k{n}": contrast(colour[f"--k{n}"], colour["--paper"]) for n in range(7)}
    assert min(lines.values()) >= 3, lines


def contrast(one: str, other: str) -> float:
    """The contrast of two colours such as #fff or #1a2b3c, from 1 to 21 (WCAG 2)."""

    def luminance(colour: str) -> float:
        digits = colour.removeprefix("#")
        digits = "".join(d * 2 for d in digits) if len(digits) == 3 else digits
        parts = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_it_prints_on_paper(overlaid: Path, browser: Any) -> None:
    browser.send("Emulation.setEmulatedMedia", media="print")
    try:
        browser.open(overlaid, width=720)
        hidden = browser.value("getComputedStyle(document.querySelector('nav')).display")
        samples = browser.value("document.querySelector('.sample').checkVisibility()")
        width = browser.value("document.documentElement.scrollWidth")
    finally:
        browser.send("Emulation.setEmulatedMedia", media="")
    assert (hidden, samples) == ("none", True)
    assert width <= 720
