from search_cluster.commands.depth.reading import split_by_size


def test_parts_hold_as_much_as_fits_and_large_items_stand_alone() -> None:
    assert split_by_size("abcdef", [3, 3, 3, 9, 1, 1], 6) == ["ab", "c", "d", "ef"]
    assert split_by_size("ab", [9, 9], 6) == ["a", "b"]
    assert split_by_size("abc", [1, 1, 1], 6) == ["abc"]
