"""Go's test/chan/select4.go: a select goes ahead when a value is there, and takes one only."""

from gopark import Chan, run, select


def test_of_two_cases_only_the_ready_one_has_an_effect() -> None:
    async def main() -> None:
        ready: Chan[int] = Chan(1)
        never: Chan[int] = Chan()
        await ready.send(42)
        taken: dict[int, int] = {}
        i, v = await select(ready, never)
        taken[i] = v
        assert taken == {0: 42}
        assert len(ready) == 0

    run(main)
