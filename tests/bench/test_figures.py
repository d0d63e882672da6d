"""Figures are medians over rounds, and what was not measured is never a number."""

from bench import figures, page
from bench.child import Measured, Phase
from bench.contest import Results


def phase(seconds: float, cpu: float = 0.0, peak: float = 0.0) -> Phase:
    return Phase(seconds, cpu, cpu, peak)


def run(whole: float = 0.0, **phases: float) -> Measured:
    return Measured(phase(whole, whole), 0, "", {name.replace("_", "-"): phase(s, s, s) for name, s in phases.items()})


def rounds(*runs: Measured) -> list[Measured]:
    return list(runs)


def results() -> Results:
    return Results(
        runs={
            "floor": rounds(*(run(floor=s, **{"floor.load": s / 2}) for s in (2.0, 1.0, 9.0))),
            "ours": rounds(
                run(plan=1.0, backup=1.0, export=1.0, load=2.0, verify=1.0),
                run(plan=1.0, backup=1.0, export=1.5, load=2.2, verify=1.0),
                run(plan=1.0, backup=1.0, export=9.0, load=9.0, verify=9.0),
            ),
            "load": rounds(run(load=2.2)),
            "bare-load": rounds(run(bare_load=2.0)),
            "pgloader": rounds(run(8.0), run(10.0), run(12.0)),
        },
        rows=10,
    )


def test_ratios_are_of_medians_over_the_rounds() -> None:
    found = {goal.name.split(" /")[0]: goal.ratio(results()) for goal in figures.GOALS}
    assert found["load of JSON Lines with indexes"] == 2.2 / 2.0
    assert found["export + load + indexes"] == 3.7 / 2.0
    assert found["export + load + indexes + every cell verified"] == 4.7 / 10.0


def test_cpu_counts_client_and_server() -> None:
    assert figures.cpu(results(), "floor", "floor") == 4.0


def test_overhead_is_what_is_added() -> None:
    added = figures.overhead(results())
    assert added is not None and round(added, 6) == 0.1


def test_a_path_that_was_not_measured_gives_no_ratio_and_its_reason() -> None:
    found = results()
    del found.runs["pgloader"]
    found.failures["pgloader"] = ["heap exhausted"]
    assert figures.GOALS[2].ratio(found) is None
    assert "| 0.7 | not measured |" in page.goals_table(found)
    assert "not measured: heap exhausted" in page.paths_table(found)
    assert page.failures(found) == "- pgloader: heap exhausted"


def test_memory_that_the_system_does_not_tell_is_not_zero() -> None:
    found = Results(runs={"floor": rounds(Measured(phase(1.0), 0, ""))})
    assert figures.peak_mb(found, "floor") is None


def test_a_section_is_replaced_and_the_rest_of_the_page_stays(tmp_path) -> None:
    speed = tmp_path / "speed.md"
    speed.write_text("before\n<!-- ratios: begin -->\nold\n<!-- ratios: end -->\nafter\n")
    page.write_section("ratios", "new", speed)
    page.write_section("ratios", "newer", speed)
    assert speed.read_text() == "before\n<!-- ratios: begin -->\n\nnewer\n\n<!-- ratios: end -->\nafter\n"


def test_the_page_has_room_for_both_sections() -> None:
    text = page.PAGE.read_text()
    for section in ("ratios", "memory"):
        assert text.count(f"<!-- {section}: begin -->") == text.count(f"<!-- {section}: end -->") == 1
