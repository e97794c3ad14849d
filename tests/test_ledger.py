"""The ledger's directives on a small book with a small register: what is drawn, and what fails the build."""

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from book.study import verdicts
from book.study.family import rule
from book.study.verdicts import Claim, Verdict

ROOT = Path(__file__).resolve().parents[1]

CONF = """
import sys
sys.path.insert(0, {ext!r})
extensions = ["myst_parser", "ledger"]
myst_enable_extensions = ["dollarmath", "amsmath"]
ledger_register = "small_register:register"
sys.path.insert(0, {here!r})
html_theme = "basic"
"""

REGISTER = """
from dataclasses import replace
from book.study.verdicts import Claim, Measured, Verdict, below, build, identity, measurement

def register():
    size = measurement("size", "size of it", below(1.0), "m")
    size = replace(size, measured_on=Measured.SMALL, family="frames_alone")
    checks = (identity("descends", "the flow is $-P_xM$"), size)
    other = (identity("gone", "no data"),)
    flow = Claim("eq-4", "§3.2", "Printed $F$.", "Corrected $-F$.", Verdict.CONTRADICTED, "by its sign",
                 refutes=("descends",), breaks=("size",))
    open_ = Claim("claim-some-thing", "§6", "Claimed.", "Open.", Verdict.NOT_DECIDABLE, "data",
                  missing=("gone",))
    return build([("flow", checks, (flow,)), ("evidence", other, (open_,))])
"""

PAGES = {
    "index": "# Start\n\n```{toctree}\nflow\nevidence\nequations\n```\n\n"
    "```{ledger-summary}\n```\n\n```{verdict-words}\n```\n\n```{family-rule}\n```\n\n```{ledger}\n```\n",
    "flow": '# The flow\n\n`open_chapter("flow")`\n\n```{printed-equation} 4\n```\n\n'
    "```{verdict-box} eq-4\n```\n",
    "evidence": '# Evidence\n\n`open_chapter("evidence")`\n\n```{verdict-box} evidence\n```\n',
    "equations": "# Equations\n\n```{equation-index}\n```\n\n[number four](#paper-eq-4)\n",
}


@pytest.fixture
def book(tmp_path):
    """A source folder whose chapters have left passing outcomes in the state folder."""
    (tmp_path / "src").mkdir()
    here = str(tmp_path / "src")
    (tmp_path / "src" / "conf.py").write_text(CONF.format(ext=str(ROOT / "book" / "_ext"), here=here))
    (tmp_path / "src" / "small_register.py").write_text(REGISTER)
    for name, text in PAGES.items():
        (tmp_path / "src" / f"{name}.md").write_text(text)
    run_chapters(tmp_path)
    return tmp_path


def run_chapters(book, size=0.25, descends=True, chapters=("flow", "evidence")):
    sys.path.insert(0, str(book / "src"))
    try:
        from small_register import register
    finally:
        sys.path.pop(0)
        sys.modules.pop("small_register", None)
    if "flow" in chapters:
        flow = verdicts.Chapter("flow", register().checks_of("flow"), book / "state" / "checks")
        flow.measure("size", size, detail="with $n=3$")
        if descends:
            flow.identity("descends", True)
    if "evidence" in chapters:
        verdicts.Chapter("evidence", register().checks_of("evidence"), book / "state" / "checks").identity(
            "gone", True
        )


def build(book):
    environment = os.environ | {"BOOK_STATE": str(book / "state"), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-n", "-E", "src", "html"]
    return subprocess.run(command, cwd=book, env=environment, capture_output=True, text=True, timeout=120)


def page(book, name):
    return re.sub(r"\s+", " ", (book / "html" / f"{name}.html").read_text())


@pytest.mark.book
def test_a_complete_ledger_is_drawn(book):
    done = build(book)
    assert done.returncode == 0, done.stderr
    box, index = page(book, "flow"), page(book, "index")
    assert 'id="verdict-eq-4"' in box
    assert '<span class="verdict verdict-contradicted">contradicted</span>' in box
    assert "by its sign" in box
    assert "0.25 m (bound fixed beforehand: &lt; 1)" in box
    assert r"\tag{4}" in box
    assert "mathjax" in page(book, "evidence").lower()
    assert index.count("2 claims:") == 2  # above the table, and in the line of its own
    row = re.search(r'<tr [^>]*id="ledger-eq-4"[^>]*>', index)
    assert row is not None and {"kind-eq", "chapter-flow"} <= set(re.split(r'[ "]', row[0]))
    assert 'href="#ledger-eq-4"' in index
    assert "1 contradicted" in index
    for word in verdicts.Verdict:
        assert f'<span class="verdict verdict-{word.slug}">{word}</span>: {word.meaning}' in index
    assert 'href="flow.html#verdict-eq-4"' in index
    assert "networks must agree" in index  # the rule over the family
    counted = r"Networks: “Frames alone cost less than √S” holds for \d+ of \d+ networks\."
    assert index.count("Networks: ") == 1 and re.search(counted, index)
    assert re.search(r"Over the family, “Frames alone cost less than √S” holds for \d+ of \d+", box)
    assert 'href="evidence.html#verdict-claim-some-thing"' in index
    assert "Corrected" in page(book, "equations")
    assert 'id="paper-eq-4"' in page(book, "equations")


def test_a_verdict_says_over_which_networks_it_holds(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "book" / "_ext"))
    import verdict_nodes as draw

    checks = {"a": SimpleNamespace(family=""), "b": SimpleNamespace(family="grows")}
    register = SimpleNamespace(checks=checks, small={"a", "b"})
    family = {"grows": rule.Reach("Errors grow", "ratio", yes=4, no=2, measured=7, kinds=2, carries=False)}

    def said(*ids):
        judgement = SimpleNamespace(claim=SimpleNamespace(checks=ids))
        return [node.astext() for node in draw.reach(register, judgement, family)]

    grows = "“Errors grow” holds for 4 of 7 networks, the opposite for 2"
    assert said("b", "b") == said("b", "law") == [f"Networks: {grows}."]
    assert said("a") == ["Networks: the shipped one only."]
    assert said("a", "b") == [f"Networks: {grows}; for other checks the shipped one only."]
    assert said("law") == []


@pytest.mark.book
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda book: run_chapters(book, size=2.0), "check flow/size failed"),
        (lambda book: run_chapters(book, descends=False), "check flow/descends .* has not run"),
        (lambda book: (book / "state" / "checks" / "evidence.json").unlink(), "check evidence/gone"),
        (lambda book: (book / "src" / "evidence.md").write_text("# Gone\n"), "'evidence' come from no page"),
        (
            lambda book: (book / "src" / "flow.md").write_text(PAGES["flow"].replace("eq-4", "eq-5")),
            "no claim 'eq-5'",
        ),
    ],
)
def test_what_the_ledger_cannot_stand_on_fails_the_build(book, change, message):
    change(book)
    done = build(book)
    assert done.returncode != 0
    assert re.search(message, done.stderr), done.stderr


@pytest.mark.book
def test_without_a_ledger_page_only_the_claims_with_boxes_are_asked_for(book):
    for name in ("evidence", "equations"):
        (book / "src" / f"{name}.md").unlink()
    (book / "src" / "index.md").write_text("# Start\n\n```{toctree}\nflow\n```\n")
    (book / "state" / "checks" / "evidence.json").unlink()
    done = build(book)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("name", "called", "label"),
    [
        ("eq-4", "", "Eq. (4)"),
        ("table-2", "", "Table 2"),
        ("fig-1", "", "Fig. 1"),
        ("claim-a-b", "", "Claim: a b"),
        ("claim-clock", "layers as a clock", "Claim: layers as a clock"),
    ],
)
def test_a_claim_is_called_by_its_number_its_id_or_the_name_it_was_given(name, called, label):
    claim = Claim(name, "§3", "p", "c", Verdict.HOLDS, "b", called=called)
    assert claim.label == label


def test_in_another_profile_our_words_are_said_to_be_of_the_shipped_book(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "book" / "_ext"))
    import verdict_nodes

    from book.study import profile

    assert verdict_nodes.ours("Corrected") == "Corrected"
    monkeypatch.setattr(profile, "BOOK", profile.read("smoke"))
    assert verdict_nodes.ours("Corrected") == "Corrected (of the shipped book)"


def test_formulas_in_lines_of_checks(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "book" / "_ext"))
    import verdict_nodes

    nodes = verdict_nodes.inline("a $x^2$ b")
    assert [(type(n).__name__, n.astext()) for n in nodes] == [
        ("Text", "a "),
        ("math", "x^2"),
        ("Text", " b"),
    ]
