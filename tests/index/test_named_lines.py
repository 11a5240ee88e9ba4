from index.named_lines import named_lines


def test_all_of_a_few_are_named() -> None:
    assert named_lines("lost", []) == []
    assert named_lines("lost", [f"{n}" for n in range(20)]) == [f"lost: {n}" for n in range(20)]


def test_of_many_the_first_are_named_and_the_others_counted() -> None:
    lines = named_lines("lost", [f"{n}" for n in range(23)])
    assert lines[:20] == [f"lost: {n}" for n in range(20)]
    assert lines[20:] == ["lost: and 3 more (--json names them)"]
