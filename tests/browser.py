"""Look at built pages in a real browser: what a strict build cannot see, and pictures of every page.

python tests/browser.py _build/html _build/screenshots
python tests/browser.py _build/html            # milliseconds to the first paint of each page
"""

import re
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urldefrag

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Route, sync_playwright

from lib.pipes import reader_may_leave

FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
WIDTH, HEIGHT = 1280, 900
NARROW = 390  # pixels of a telephone
PATIENCE = 300e3  # milliseconds that anything may take: tests run beside others, on machines at work
KINDS = (
    *("console", "external", "http", "images", "links", "tex"),
    *("objects", "cut", "alt", "ids", "wide", "stretched", "small", "unmarked", "faded", "accessibility"),
    *("heavy", "shift", "tables"),
)
# Without `preload`, which loads style sheets again from where their imports do not resolve.
AXE = {"runOnly": ["wcag2a", "wcag2aa"], "resultTypes": ["violations"], "preload": False}

# What the page itself knows, once MathJax is done. Raw TeX is looked for in text that is not code.
LOOK = r"""async () => {
  if (window.MathJax && MathJax.startup && MathJax.startup.promise) await MathJax.startup.promise;
  const frame = () => new Promise(done => requestAnimationFrame(() => setTimeout(done)));
  const painted = () => performance.getEntriesByName('first-contentful-paint').length;
  // Only what was painted can move: a busy machine may be done with formulas before it has painted.
  for (let k = 0; k < 600 && !painted(); k++) await frame();
  for (let k = 0; k < 10; k++) await frame();
  const moved = window.moved || 0;
  const sum = performance.getEntries().reduce((total, entry) => total + (entry.encodedBodySize || 0), 0);
  await Promise.all([...document.images].map(image => {
    image.loading = 'eager';
    return image.complete || new Promise(done => { image.onload = image.onerror = done; });
  }));
  const all = s => [...document.querySelectorAll(s)];
  const items = window.MathJax && MathJax.startup ? [...MathJax.startup.document.math] : [];
  const source = e => (items.find(m => m.typesetRoot && m.typesetRoot.contains(e)) || {math: '?'}).math;
  const ids = all('[id]').map(e => e.id);
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const raw = [], objects = [];
  while (walker.nextNode()) {
    const node = walker.currentNode;
    if (node.parentElement.closest('code, pre, script, style, mjx-container, .math, .sig')) continue;
    if (/\b[A-Z]\w*\(\w+=|<[\w.]+ object at |np\.\w+\(|\('[^']*', |\de[-−+]\d\d/.test(node.data))
      objects.push(node.data.trim());
    if (/\$[^$\n]+\$|\\[a-zA-Z]{2,}[{\s_^]|\\[([]/.test(node.data)) raw.push('raw ' + node.data.trim());
  }
  return {
    ids: ids,
    links: all('a[href]').map(a => a.href),
    images: [...document.images].filter(i => i.complete && i.naturalWidth === 0).map(i => i.src),
    alt: [...document.images].filter(i => !i.alt.trim() || /\.(png|svg|jpe?g)$/.test(i.alt))
      .map(i => `${i.src} alt=${JSON.stringify(i.alt)}`),
    objects: objects,
    cut: all('table td, table th').map(e => e.textContent.trim()).filter(t => t.endsWith('...')),
    tex: [...raw,
      ...all('.math').filter(e => !e.querySelector('mjx-container')).map(e => 'not set ' + e.textContent),
      ...all('mjx-merror, [data-mjx-error]')
        .map(e => `error ${e.getAttribute('data-mjx-error') || ''} in ${source(e)}`),
      ...all('mjx-container [style*="color: red"]').map(e => 'undefined macro in ' + source(e))],
    heavy: sum > 3e6 ? [`${location.pathname.split('/').pop()} loads ${(sum / 1e6).toFixed(2)} MB`] : [],
    shift: moved > 0.1 ? [`${location.pathname.split('/').pop()}: layout shifts by ${moved.toFixed(3)}`] : [],
  };
}"""

# What does not keep to the width of the window: pages, pictures in a box of another shape than their own,
# figures whose type (11 px in a page of 787 px) is shrunk, boxes that scroll and do not show it; on a large
# screen tables that scroll at all, those in folded boxes too.
WIDE = r"""async () => {
  for (let k = 0; k < 3; k++) await new Promise(done => requestAnimationFrame(() => setTimeout(done)));
  const box = i => i.getBoundingClientRect();
  const hidden = [...document.querySelectorAll('div.math mjx-math')]
    .map(m => box(m.closest('div.math')).left - box(m).left).filter(left => left > 2)
    .map(left => `formula begins ${left.toFixed(0)} px left of its box`);
  const folded = [...document.querySelectorAll('.bd-article details:not([open])')];
  const hides = e => e.scrollWidth > e.clientWidth + 2 && /auto|scroll/.test(getComputedStyle(e).overflowX);
  const scrolls = t => { for (let e = t.parentElement; e; e = e.parentElement) if (hides(e)) return true; };
  const tables = () => {
    folded.forEach(d => { d.open = true; });
    const found = [...document.querySelectorAll('.bd-article table')].filter(scrolls)
      .map(t => `${t.offsetWidth} px wide: ${t.textContent.trim().replace(/\s+/g, ' ').slice(0, 60)}`);
    folded.forEach(d => { d.open = false; });
    return found;
  };
  const shape = i => i.naturalWidth ? i.naturalHeight / i.naturalWidth : box(i).height / box(i).width;
  return {
    wide: [...document.documentElement.scrollWidth > window.innerWidth + 1
      ? [`page is ${document.documentElement.scrollWidth} px wide in ${window.innerWidth}`] : [], ...hidden],
    stretched: [...document.images].filter(i => getComputedStyle(i).objectFit !== 'contain')
      .filter(i => box(i).width > 40 && Math.abs(box(i).height / box(i).width / shape(i) - 1) > 0.05)
      .map(i => `${i.src.split('/').pop()}: ${box(i).width.toFixed(0)} x ${box(i).height.toFixed(0)}, ` +
        `in itself ${i.naturalWidth} x ${i.naturalHeight}`),
    small: [...document.querySelectorAll('.bd-article img[src*=".svg"]')].filter(i => box(i).width > 40)
      .filter(i => box(i).width < 0.7 * Math.min(i.naturalWidth, 787))
      .map(i => `${i.src.split('/').pop()}: ${box(i).width.toFixed(0)} of ${i.naturalWidth} px`),
    unmarked: [...document.querySelectorAll('.bd-article :not(.scrolls), .bd-sidebar')]
      .filter(e => e.scrollWidth > e.clientWidth + 2 && e.checkVisibility())
      .filter(e => /auto|scroll/.test(getComputedStyle(e).overflowX))
      .map(e => `${e.tagName} ${e.className}: ${e.textContent.trim().slice(0, 60)}`),
    faded: [...document.querySelectorAll('.scrolls')]
      .filter(e => e.scrollWidth <= e.clientWidth + 2 && e.checkVisibility())
      .map(e => `${e.tagName} ${e.className}: ${e.textContent.trim().slice(0, 60)}`),
    tables: window.innerWidth < 1000 ? [] : tables(),
  };
}"""

# How far what is in sight moves while the page is loaded, nobody touching it (cumulative layout shift).
MOVED = """window.moved = 0; new PerformanceObserver(list => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.moved += entry.value;
}).observe({ type: 'layout-shift', buffered: true });"""
PAINT = "performance.getEntriesByName('first-contentful-paint')[0].startTime"


def chromium() -> str | None:
    """Path of a chromium or Chrome on this machine, or None."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next((path for path in map(shutil.which, names) if path), None)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """No line per request."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Address under which a folder is served on this machine, ending with a slash."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def browser() -> Iterator[Browser]:
    """A headless browser.

    Raises:
        FileNotFoundError: no chromium on this machine.
    """
    path = chromium()
    if path is None:
        raise FileNotFoundError("no chromium on the path; on Debian: apt-get install chromium")
    with sync_playwright() as tool:
        opened = tool.chromium.launch(executable_path=path, args=list(FLAGS), timeout=PATIENCE)
        yield opened
        opened.close()


def new_page(opened: Browser, width: int = WIDTH, height: int = HEIGHT) -> Page:
    """A page on which everything may take its time."""
    page = opened.new_page(viewport={"width": width, "height": height})
    page.set_default_timeout(PATIENCE)
    return page


@contextmanager
def figure(text: str, *scripts: str, width: int = WIDTH) -> Iterator[Page]:
    """A page with one figure to touch, begun by `scripts` of ``book/_static``, in the book's own style."""
    static = Path(__file__).resolve().parents[1] / "book" / "_static"
    code = "".join((static / f"{name}.js").read_text(encoding="utf-8") for name in ("living", *scripts))
    style = (static / "book.css").read_text(encoding="utf-8")
    with browser() as opened:
        page = new_page(opened, width)
        page.set_content(f"<!doctype html><style>{style}</style><body>{text}<script>{code}</script></body>")
        yield page


def pages(folder: Path) -> list[str]:
    """Pages of a built book, by their path in it; not those that only lead on to another."""
    found = [p for p in folder.rglob("*.html") if not {"_static", "_sources"} & set(p.parts)]
    named = [p for p in found if 'http-equiv="Refresh"' not in p.read_text(encoding="utf-8")]
    return sorted(p.relative_to(folder).as_posix() for p in named)


def inspect(page: Page, base: str, name: str) -> dict[str, list[str]]:
    """What is wrong with one page, by kind; under ``links`` and ``ids`` simply all of them."""
    seen: dict[str, list[str]] = {kind: [] for kind in KINDS}

    def guard(route: Route) -> None:
        if route.request.url.startswith((base, "data:", "blob:")):
            route.continue_()
        else:
            seen["external"].append(route.request.url)
            route.abort()

    page.route("**/*", guard)
    page.on("console", lambda m: seen["console"].append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda e: seen["console"].append(str(e)))
    page.on("response", lambda r: seen["http"].append(f"{r.status} {r.url}") if r.status >= 400 else None)
    page.add_init_script(MOVED)
    page.goto(base + name, wait_until="load")
    seen |= page.evaluate(LOOK)
    for violation in Axe().run(page, options=AXE).response["violations"]:
        targets = [" ".join(map(str, node["target"])) for node in violation["nodes"]]
        seen["accessibility"] += [f"{violation['id']} ({violation['impact']}): {t}" for t in targets]
    for width in (WIDTH, NARROW):
        page.set_viewport_size({"width": width, "height": HEIGHT})
        for kind, faults in page.evaluate(WIDE).items():
            seen[kind] += faults
    return seen


def looked(opened: Browser, base: str, name: str) -> dict[str, list[str]]:
    """`inspect` of one page, opened anew."""
    page = new_page(opened)
    try:
        return inspect(page, base, name)
    finally:
        page.close()


def findings(folder: Path) -> dict[str, dict[str, list[str]]]:
    """For each kind of fault, the pages that have it and what was found: ``{kind: {page: [...]}}``."""
    names = pages(folder)
    with served(folder) as base, browser() as opened:
        seen = {name: looked(opened, base, name) for name in names}
        for name in [name for name in names if seen[name]["shift"]]:
            # Beside other work a formula may be late by chance: a page that moves does so every time.
            seen[name]["shift"] = min((looked(opened, base, name)["shift"] for _ in range(2)), key=len)
    ids = {base + name: set(found["ids"]) for name, found in seen.items()}
    for found in seen.values():
        found["links"] = [link for link in found["links"] if dead(link, base, folder, ids)]
        found["ids"] = sorted({i for i in found["ids"] if found["ids"].count(i) > 1})
    return {kind: {name: found[kind] for name, found in seen.items() if found[kind]} for kind in KINDS}


def dead(link: str, base: str, folder: Path, ids: dict[str, set[str]]) -> bool:
    """Whether a link leads to a page or an anchor of this book that is not there."""
    address, anchor = urldefrag(link)
    if not address.startswith(base):
        return False
    if anchor and address in ids:
        return unquote(anchor) not in ids[address]
    return not (folder / unquote(address.removeprefix(base))).exists()


def paints(folder: Path) -> dict[str, float]:
    """Milliseconds to the first contentful paint of each page, opened as a file. For a quiet machine."""
    with browser() as opened:
        found = {}
        for name in pages(folder):
            page = new_page(opened)
            page.goto((folder / name).resolve().as_uri(), wait_until="load")
            found[name] = float(page.evaluate(PAINT))
            page.close()
    return found


def screenshots(folder: Path, target: Path) -> list[Path]:
    """A picture of the whole of each page, 1280 px wide."""
    target.mkdir(parents=True, exist_ok=True)
    taken = []
    with served(folder) as base, browser() as opened:
        page = new_page(opened)
        for name in pages(folder):
            page.goto(base + name, wait_until="load")
            page.evaluate("async () => { if (window.MathJax) await MathJax.startup.promise; }")
            taken.append(target / (re.sub(r"[/\\]", "-", name.removesuffix(".html")) + ".png"))
            page.screenshot(path=taken[-1], full_page=True)
    return taken


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: python tests/browser.py HTML_FOLDER [PICTURE_FOLDER]")
    if not Path(sys.argv[1], "index.html").is_file():
        sys.exit(f"no built book in {sys.argv[1]}; make book")
    with reader_may_leave():
        if len(sys.argv) == 2:
            for name, milliseconds in paints(Path(sys.argv[1])).items():
                print(f"{milliseconds:6.0f} ms {name}")
            sys.exit()
        print(*screenshots(Path(sys.argv[1]), Path(sys.argv[2])), sep="\n")
