"""Sweeps of small preference trainings: frozen configs in, recorded rows out.

`config` says what a run is, `plans` names lists of them, `data` draws its pairs, `measure` makes
its row (`similarity`, `margins` and `masses` are what it measures, `columns` what each number is),
`sweep` runs many and keeps what is done (`store`), `provenance` says by which code, and `stats` has
the few statistics that the chapters quote.

    python -m dpofield.experiments run smoke
"""
