"""Checks, the rule that computes verdicts, the register's consistency, and what chapters write."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import sympy as sp

from book.study import mean_flow as mf
from book.study import verdicts
from book.study.paper import printed as paper
from book.study.verdicts import (
    Check,
    CheckOutcome,
    Claim,
    Measured,
    Scope,
    Verdict,
    above,
    below,
    identity,
    judge,
    measurement,
    within,
)
from lib import dynamics


def claim(expected=Verdict.HOLDS, **roles):
    return Claim("c", "§1", "printed", "corrected", expected, "why", chapter="one", **roles)


def outcomes(**passed):
    return {f"one/{name}": CheckOutcome(f"one/{name}", ok) for name, ok in passed.items()}


def small_register(expected=Verdict.CONTRADICTED, roles=None):
    checks = (identity("a", "A is true"), measurement("b", "b is small", below(1.0)))
    row = Claim(
        "eq-4", "§3", "P", "Q", expected, "because", **(roles or {"refutes": ("a",), "breaks": ("b",)})
    )
    return verdicts.build([("one", checks, (row,))])


@pytest.mark.parametrize(
    ("roles", "passed", "verdict"),
    [
        ({"supports": ("a", "b")}, {"a": True, "b": True}, Verdict.HOLDS),
        ({"supports": ("a", "b")}, {"a": True, "b": False}, Verdict.CONTRADICTED),
        ({"refutes": ("a",), "rescues": ("b",)}, {"a": True, "b": True}, Verdict.CONTRADICTED),
        ({"refutes": ("a",), "breaks": ("b",)}, {"a": False, "b": True}, Verdict.DOES_NOT_FOLLOW),
        ({"breaks": ("a",), "rescues": ("b",)}, {"a": True, "b": True}, Verdict.WITH_ASSUMPTIONS),
        ({"breaks": ("a",), "rescues": ("b",)}, {"a": True, "b": False}, Verdict.DOES_NOT_FOLLOW),
        (
            {"breaks": ("a",), "rescues": ("b",), "denies": "a premise"},
            {"a": True, "b": True},
            Verdict.DOES_NOT_FOLLOW,
        ),
        ({"missing": ("a", "b")}, {"a": True, "b": True}, Verdict.NOT_DECIDABLE),
        ({"missing": ("a",), "refutes": ("b",)}, {"a": True, "b": True}, Verdict.CONTRADICTED),
        ({"refutes": ("a", "b")}, {"a": False, "b": False}, Verdict.NOT_DECIDABLE),
    ],
)
def test_the_rule(roles, passed, verdict):
    assert judge(claim(**roles), outcomes(**passed)).verdict is verdict


def test_a_denied_premise_needs_a_rescue():
    with pytest.raises(ValueError, match="no check rescues"):
        claim(breaks=("a",), denies="a premise")


@pytest.mark.parametrize(
    ("about", "roles", "passed", "verdict"),
    [
        (Scope.VGGT, {"refutes": ("a",)}, {"a": True}, Verdict.NOT_GENERAL),
        (Scope.ANY, {"refutes": ("a",)}, {"a": True}, Verdict.NOT_GENERAL),
        (Scope.ANY, {"refutes": ("b",)}, {"b": True}, Verdict.CONTRADICTED),
        (Scope.ANY, {"supports": ("b",)}, {"b": True}, Verdict.HOLDS),
        (Scope.ANY, {"supports": ("a", "b")}, {"a": True, "b": True}, Verdict.NOT_GENERAL),
        (Scope.VGGT, {"supports": ("b",)}, {"b": True}, Verdict.NOT_GENERAL),
        (None, {"breaks": ("a",)}, {"a": True}, Verdict.NOT_GENERAL),
        (None, {"breaks": ("a", "b")}, {"a": True, "b": True}, Verdict.DOES_NOT_FOLLOW),
        (None, {"breaks": ("a", "big")}, {"a": True, "big": True}, Verdict.DOES_NOT_FOLLOW),
        (None, {"rescues": ("a",)}, {"a": True}, Verdict.NOT_GENERAL),
        (None, {"rescues": ("b",)}, {"b": True}, Verdict.WITH_ASSUMPTIONS),
        (Scope.VGGT, {"refutes": ("a", "big")}, {"a": True, "big": True}, Verdict.CONTRADICTED),
        (Scope.VGGT, {"refutes": ("a", "big")}, {"a": True, "big": False}, Verdict.NOT_GENERAL),
        (Scope.VGGT, {"supports": ("a",)}, {"a": False}, Verdict.NOT_GENERAL),
        (Scope.VGGT, {"supports": ("a",)}, {"a": True}, Verdict.NOT_GENERAL),
        (Scope.ANY, {"supports": ("a",)}, {"a": True}, Verdict.NOT_GENERAL),
        (Scope.VGGT, {"supports": ("a", "big")}, {"a": True, "big": True}, Verdict.NOT_GENERAL),
        (Scope.VGGT, {"supports": ("a", "big")}, {"a": True, "big": False}, Verdict.CONTRADICTED),
        (Scope.VGGT, {"supports": ("big",)}, {"big": True}, Verdict.HOLDS),
        (Scope.VGGT, {"refutes": ("a",), "breaks": ("b",)}, {"a": False, "b": True}, Verdict.NOT_GENERAL),
        (Scope.ANY, {"refutes": ("a",), "breaks": ("b",)}, {"a": False, "b": True}, Verdict.DOES_NOT_FOLLOW),
        (Scope.VGGT, {"refutes": ("a",), "breaks": ("big",)}, {"a": True, "big": True}, Verdict.NOT_GENERAL),
    ],
)
def test_what_only_small_networks_say_reaches_no_further_than_the_family_carries_it(
    about, roles, passed, verdict
):
    row = claim(about=about, **roles)  # a: small; b: small, and the family carries it; big: neither
    found = judge(row, outcomes(**passed), small={"one/a", "one/b"}, carried={"one/b"})
    assert found.verdict is verdict


def test_a_claim_that_leans_on_a_small_network_says_what_it_is_about():
    small = Check("b", "b is small", "measurement", below(1.0), measured_on=Measured.SMALL, family="grows")

    def built(about):
        row = claim(Verdict.NOT_GENERAL, refutes=("b",), about=about)
        return verdicts.build([("one", (small,), (row,))])

    with pytest.raises(verdicts.RegisterError, match=r"small networks .one/b.; say .* any network or VGGT"):
        built(None)
    with pytest.raises(verdicts.RegisterError, match="would give contradicted"):
        built(Scope.ANY)
    register = built(Scope.VGGT)
    assert register.small == {"one/b"} == register.carried({"grows"})
    assert register.families == {"grows"} and register.carried({"shrinks"}) == set()
    assert register.judge(outcomes(b=True))[0].verdict is Verdict.NOT_GENERAL
    assert register.problems(outcomes(b=True)) == []


def test_the_family_decides_a_verdict_on_any_network_and_none_on_vggt():
    small = Check("b", "b is small", "measurement", below(1.0), measured_on=Measured.SMALL, family="grows")
    pinned = {Scope.ANY: Verdict.CONTRADICTED, Scope.VGGT: Verdict.NOT_GENERAL}
    for about, verdict in pinned.items():
        row = claim(verdict, refutes=("b",), about=about)
        register, ran = verdicts.build([("one", (small,), (row,))]), outcomes(b=True)
        assert register.judge(ran)[0].verdict is Verdict.NOT_GENERAL
        assert register.judge(ran, statements=["grows"])[0].verdict is verdict
        assert register.problems(ran, statements=["grows"]) == []
        assert bool(register.problems(ran)) is (about is Scope.ANY), "a pin that the family no longer carries"


def test_only_a_check_on_small_networks_has_a_family():
    with pytest.raises(ValueError, match="names a family of networks"):
        Check("b", "b", "identity", family="grows")


def test_a_check_that_did_not_run_gives_no_verdict():
    judgement = judge(claim(supports=("a", "b")), outcomes(a=True))
    assert judgement.verdict is None
    assert judgement.absent == ("one/b",)


def test_a_failed_check_is_never_as_expected_even_if_the_verdict_stands():
    judgement = judge(claim(Verdict.CONTRADICTED, refutes=("a",), breaks=("b",)), outcomes(a=True, b=False))
    assert judgement.verdict is Verdict.CONTRADICTED
    assert not judgement.as_expected


@pytest.mark.parametrize(
    ("bound", "inside", "outside", "shown"),
    [
        (below(0.5), 0.4, 0.5, "< 0.5"),
        (above(2.0), 2.1, 2.0, "> 2"),
        (within(0.0, 1.0), 1.0, 1.1, "in 0 … 1"),
        (within(-0.5, 1e-6), 0.0, 1e-5, "in −0.5 … 1·10⁻⁶"),
    ],
)
def test_bounds(bound, inside, outside, shown):
    assert bound.accepts(inside)
    assert not bound.accepts(outside)
    assert not bound.accepts(float("nan"))
    assert str(bound) == shown


def test_a_measurement_needs_a_bound():
    with pytest.raises(ValueError, match="needs one"):
        Check("x", "states", "measurement")


# The book's register ---------------------------------------------------------------------------------------


def test_register_lists_all_equations_tables_figures_and_enough_claims():
    ids = [c.id for c in verdicts.register().claims]
    assert {e.id for e in paper.EQUATIONS} < set(ids)
    assert {"table-1", "table-2", "fig-1", "fig-2", "fig-3", "fig-4"} < set(ids)
    assert sum(i.startswith("claim-") for i in ids) >= 35


@pytest.mark.slow
def test_every_verdict_of_the_book_is_reached_when_all_checks_pass_and_only_then():
    register = verdicts.register()
    passed = {i: CheckOutcome(i, True) for i in register.checks}
    assert register.problems(passed) == []
    assert all(j.as_expected for j in register.judge(passed))
    for missing in register.checks:
        assert any(missing in p for p in register.problems({i: o for i, o in passed.items() if i != missing}))
    for failing in register.checks:
        assert register.problems({**passed, failing: CheckOutcome(failing, False)})


def test_all_words_occur_and_each_has_a_meaning_and_a_colour():
    assert {c.expected for c in verdicts.register().claims} == set(Verdict)
    css = Path("book/_static/verdicts.css").read_text()
    assert [v for v in Verdict if not v.meaning.endswith(".")] == []
    # grey, the colour of a badge without a rule of its own, is left to what nothing was decided about
    assert {v for v in Verdict if f".verdict-{v.slug} {{" not in css} == {Verdict.NOT_DECIDABLE}


def test_no_verdict_on_vggt_rests_on_a_small_network_alone():
    register = verdicts.register()
    for row in register.claims:
        deciding = {*map(row.qualified, row.refutes + row.supports)}
        if deciding and deciding <= register.small and row.about is Scope.VGGT:
            assert row.expected is Verdict.NOT_GENERAL
        assert (row.expected is Verdict.NOT_GENERAL) <= bool(deciding & register.small)


@pytest.mark.parametrize("chapter", ["mean_field", "merging_mean_field", "entropy", "corrected_theory"])
def test_equations_contradicted_by_a_measurement_change_when_it_does_not_come_out(chapter):
    register = verdicts.register()
    for row in register.claims_of(chapter):
        if row.expected is Verdict.CONTRADICTED:
            refuted = {i: CheckOutcome(i, i.rpartition("/")[2] not in row.refutes) for i in row.checks}
            refuted |= {i: CheckOutcome(i, False) for i in row.checks if i in row.refutes}
            assert judge(row, refuted).verdict is not Verdict.CONTRADICTED


def test_register_refuses_double_ids_unknown_checks_idle_checks_and_wrong_pins():
    with pytest.raises(verdicts.RegisterError, match="would give"):
        small_register(Verdict.HOLDS)
    with pytest.raises(verdicts.RegisterError, match="names"):
        small_register(roles={"refutes": ("a", "b", "missing-one")})
    with pytest.raises(verdicts.RegisterError, match="judge no claim: one/b"):
        small_register(roles={"refutes": ("a",)})
    with pytest.raises(verdicts.RegisterError, match="declared twice"):
        verdicts.build([("one", (identity("a", "A"), identity("a", "B")), ())])
    with pytest.raises(KeyError, match="eq-99"):
        small_register().claim("eq-99")


# Chapters --------------------------------------------------------------------------------------------------


def test_chapter_writes_outcomes_and_reads_them_back(tmp_path):
    register = small_register()
    chapter = verdicts.Chapter("one", register.checks_of("one"), tmp_path / "checks")
    chapter.identity("a", lambda: sp.sin(0) == 0, detail="$x$")
    assert "0.25 (<\N{NO-BREAK SPACE}1)" in chapter.measure("b", np.float64(0.25))
    assert repr(chapter.complete()).startswith("✓ all 2")
    found = verdicts.read_outcomes(tmp_path / "checks")
    assert found["one/b"] == CheckOutcome("one/b", True, 0.25)
    assert register.problems(found) == []
    assert [p.suffix for p in (tmp_path / "checks").iterdir()] == [".json"]


def test_opening_a_chapter_drops_what_an_earlier_run_left(tmp_path):
    verdicts.Chapter("one", small_register().checks_of("one"), tmp_path).identity("a", True)
    verdicts.Chapter("one", small_register().checks_of("one"), tmp_path)
    assert json.loads((tmp_path / "one.json").read_text()) == []


def test_a_false_identity_is_recorded_and_raises(tmp_path):
    chapter = verdicts.Chapter("one", small_register().checks_of("one"), tmp_path)
    with pytest.raises(verdicts.CheckFailedError, match="A is true"):
        chapter.identity("a", lambda: sp.false)
    assert not verdicts.read_outcomes(tmp_path)["one/a"].passed


def test_an_identity_that_raises_is_recorded_and_raises(tmp_path):
    chapter = verdicts.Chapter("one", small_register().checks_of("one"), tmp_path)
    with pytest.raises(ZeroDivisionError):
        chapter.identity("a", lambda: 1 / 0)
    assert "ZeroDivisionError" in verdicts.read_outcomes(tmp_path)["one/a"].error


@pytest.mark.parametrize("result", [1, 0.0, sp.Symbol("x") > 0, "yes", None])
def test_only_truth_values_prove_an_identity(result):
    with pytest.raises(TypeError, match="truth value"):
        verdicts.Chapter("one", small_register().checks_of("one"), None).identity("a", result)


@pytest.mark.parametrize("value", [1.0, float("nan"), 3.0])
def test_a_measurement_out_of_bounds_is_recorded_and_changes_the_verdict(value):
    chapter = verdicts.Chapter("one", small_register().checks_of("one"), None)
    chapter.measure("b", value)
    with pytest.raises(verdicts.CheckFailedError, match=r"failed \['b'\]"):
        chapter.complete()
    problems = small_register().problems(chapter.outcomes_by_id)
    assert any("one/b failed" in p for p in problems)


def test_undeclared_names_kinds_and_chapters_are_errors():
    chapter = verdicts.Chapter("one", small_register().checks_of("one"), None)
    with pytest.raises(KeyError, match="declares no measurement 'a'"):
        chapter.measure("a", 1.0)
    with pytest.raises(ValueError, match="'two'"):
        verdicts.Chapter("two", small_register().checks_of("two"), None)


def test_open_chapter_follows_the_book_state(tmp_path, monkeypatch):
    monkeypatch.setenv("BOOK_STATE", str(tmp_path))
    verdicts.open_chapter("printed_evidence")
    assert (tmp_path / "checks" / "printed_evidence.json").exists()
    monkeypatch.delenv("BOOK_STATE")
    assert verdicts.checks_folder() is None


# Changing a sign in the dynamics turns verdicts and the build red ------------------------------------------


def mean_field_measurements(chapter):
    """What the chapter on the mean field measures, on a smaller cloud."""
    cloud = dynamics.biased_cloud(300, 8, 0.4, seed=0)
    chapter.measure("printed-sign-mean", mf.mean_flow(cloud, 20.0, sign=-1, step=0.1).R[-1])
    chapter.measure("corrected-sign-mean", mf.mean_flow(cloud, 20.0, step=0.1).R[-1])


@pytest.mark.slow
def test_a_flipped_sign_in_the_dynamics_turns_verdicts_red(monkeypatch):
    register = verdicts.register()
    others = {i: CheckOutcome(i, True) for i in register.checks}
    chapter = verdicts.open_chapter("mean_field")
    mean_field_measurements(chapter)
    assert register.problems(others | chapter.outcomes_by_id) == []

    right = mf.mean_field_velocity
    monkeypatch.setattr(mf, "mean_field_velocity", lambda x, mass=None: -right(x, mass))
    chapter = verdicts.open_chapter("mean_field")
    mean_field_measurements(chapter)
    found = others | chapter.outcomes_by_id
    problems = register.problems(found)
    assert any("corrected-sign-mean failed" in p for p in problems)
    assert any("claim-dirac-attractor: the checks give" in p for p in problems)
    assert judge(register.claim("claim-depth"), found).verdict is not Verdict.WITH_ASSUMPTIONS


def test_a_line_shows_its_maths_in_a_notebook_and_escapes_the_rest():
    shown = verdicts.chapter.Line(r"✓ $\alpha<1$: 0.5 (< 1)")._repr_html_()
    assert r'<span class="math notranslate nohighlight">\(\alpha&lt;1\)</span>: 0.5 (&lt; 1)' in shown


OTHER_LOCALE = """
import sys
from pathlib import Path
from book.study.verdicts.chapter import read_outcomes
print(ascii(read_outcomes(Path(sys.argv[1]))["entropy/x"].detail))
"""


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_outcomes_are_utf8_in_every_locale(tmp_path: Path, locale: str) -> None:
    entry = {"check": "entropy/x", "passed": True, "value": 1.0, "detail": "β = 0", "error": ""}
    (tmp_path / "entropy.json").write_text(json.dumps([entry], ensure_ascii=False), encoding="utf-8")
    environment = os.environ | {"LC_ALL": locale, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-c", OTHER_LOCALE, str(tmp_path)]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, encoding="utf-8", check=True
    )
    assert done.stdout.strip() == ascii("β = 0")
